"""Where the night's data come from."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Literal
from zoneinfo import available_timezones

from pydantic import Field, field_validator

from flows.sections.section import Section


class SourceConfig(Section):
    """Where the landing files are and how to read them."""

    format: Literal["simulated", "far_trans", "nightfolio"] = "simulated"
    path: Path | None = Field(None, description="Landing folder; not for the simulated source.")
    future_rows: Literal["withhold", "block"] = Field(
        "block",
        description="Rows dated after as_of: stop the night, or leave them unread (point-in-time replay).",
    )
    time_zone: str = Field(
        "Europe/Athens", description="The firm's: a timestamp in the source is read as the calendar day there."
    )

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, zone: str) -> str:
        if zone not in available_timezones():
            raise ValueError(f"source.time_zone={zone!r} is not an IANA time zone")
        return zone


class SimulationConfig(Section):
    """The embedded market. Sizes are counts; ``years`` of daily prices end at as_of."""

    customers: int = Field(3000, ge=200, le=1_000_000)
    assets: int = Field(240, ge=60, le=5_000)
    years: float = Field(3.0, ge=1.0, le=20.0)
    trades_per_customer: float = Field(24.0, ge=2.0, le=200.0)
    as_of: date = date(2024, 6, 28)
    seed: int = Field(7, ge=0)
