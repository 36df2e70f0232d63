"""What a customer is offered, and what never."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from flows.sections.section import Section, Share
from lightning_modules.settings import ModelKind


class RecommendConfig(Section):
    """What a customer is offered, and what never."""

    model: ModelKind = "attention_cf"
    k: int = Field(10, ge=1, le=100)
    tradable_price_age_days: int = Field(
        7,
        ge=0,
        le=3650,
        description="An asset without a close in this many days before as_of is not tradable.",
    )
    dial: Share = Field(
        0.0, description="Weight of the profit view in what is listed (never in the order); 0: preference alone decides."
    )
    offer_previously_held: bool = Field(False, description="May an asset the customer sold be offered again?")
    same_asset: dict[str, str] = Field(
        default_factory=dict,
        description="Identifiers of an asset known under another: never offer what is held as either.",
    )
    high_volatility: float = Field(
        0.4, gt=0, le=10, description="Yearly volatility at or above which an undeclared stock is class 4."
    )
    asset_risk: dict[str, Annotated[int, Field(ge=1, le=4)]] = Field(
        default_factory=lambda: {
            "fund/money market": 1,
            "bond/government": 2,
            "bond/corporate": 2,
            "bond": 2,
            "fund/bond": 2,
            "fund/bonds": 2,
            "fund/balanced": 3,
            "fund/other": 3,
            "fund/equity": 3,
            "fund/structured": 4,
            "fund": 3,
            "stock": 3,
        },
        description="Risk class (1 conservative to 4 aggressive) of an asset whose source declares none.",
    )
