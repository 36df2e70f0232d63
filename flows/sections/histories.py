"""How histories, features and regimes are derived."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from flows.sections.section import Days, Section


class HistoriesConfig(Section):
    """How features and regimes are derived from prices; days are calendar days."""

    momentum_days: Annotated[tuple[Days, ...], Field(min_length=1)] = (30, 90, 180)
    popularity_days: Annotated[tuple[Days, ...], Field(min_length=1)] = (30, 90, 365)
    price_stale_days: int = Field(30, ge=1, le=365, description="A close older than this says nothing about a day.")
    regime_window_days: int = Field(90, ge=10, le=730)
    regime_threshold: float = Field(0.05, gt=0, lt=1, description="Window return above = bull, below minus = bear.")
