"""Limits of what the data may be, and how much they may change."""

from __future__ import annotations

from pydantic import Field

from flows.sections.section import Section, Share, Table


class ContractsConfig(Section):
    """Limits of the table-level rules."""

    freshness_days: int = Field(7, ge=0, le=3650, description="Newest trade and price at most this many days before as_of.")
    volume_change_limit: Share = Field(0.5, description="Largest relative fall in rows since the previous publication.")
    price_jump_limit: float = Field(0.5, gt=0, le=10, description="Largest relative move between two closes without a warning.")
    trade_price_tolerance: float = Field(
        0.25, gt=0, le=10, description="Largest relative distance of value / units from that day's close without a warning."
    )
    amount_tolerance: Share = Field(0.05, description="Largest relative distance of units x price from value.")
    reuse: bool = Field(
        True,
        description="Keep what each file of prices and trades became and what was found of it, for nights with the same file.",
    )
    quarantine_limits: dict[Table, Share] = Field(
        default_factory=dict,
        description="Per table: share of quarantined rows above which the night is blocked.",
    )


class DriftConfig(Section):
    """Drift against the previous publication; methods and thresholds per column are pinned in reports."""

    sample: int = Field(50_000, ge=100, le=1_000_000)
    drift_share: Share = Field(0.5, description="Share of drifted columns from which a table counts as drifted.")
