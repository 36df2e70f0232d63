"""What a customer is offered, and what never."""

from __future__ import annotations

from pydantic import Field

from flows.sections.section import Section, Share
from lightning_modules.settings import ModelKind


class RecommendConfig(Section):
    """What a customer is offered, and what never."""

    model: ModelKind = "attention_cf"
    k: int = Field(10, ge=1, le=100)
    rules: str = Field(
        "default", min_length=1, description="Suitability rules: a shipped file's name, or the path of a .toml file."
    )
    dial: Share = Field(
        0.0, description="Weight of the profit view in what is listed (never in the order); 0: preference alone decides."
    )
