"""How long what is kept."""

from __future__ import annotations

from pydantic import Field

from flows.sections.section import Section


class RecordsConfig(Section):
    """Retention: what `nightfolio retire` may remove. Manifests, records, recommendations and evidence are always kept."""

    keep_days: int = Field(
        1827,
        ge=0,
        le=36_500,
        description="Days after publication in which a run is kept whole; default five years (MiFID II, Art. 16(7)).",
    )
    keep_runs: int = Field(30, ge=1, le=100_000, description="The newest publications that are kept whole, however old.")
    keep_failed_days: int = Field(30, ge=0, le=36_500, description="Days after which a failed run may be removed altogether.")
