"""Whether similar customers have similar attention."""

from __future__ import annotations

import polars as pl

from flows.consistency import FEWEST_CUSTOMERS
from flows.evidence import attention
from flows.night import Night
from lightning_modules.consistency import BANDS
from lightning_modules.family import FAMILY
from reports.evidence import Absent, ConsistencyEvidence


def gather(night: Night) -> ConsistencyEvidence | Absent:
    """The table that the audit wrote, and how it was measured."""
    config = night.config
    table = pl.read_parquet(night.folder / "audit" / "consistency.parquet")
    if FAMILY[config.recommend.model].speaks == "none":
        return Absent(attention.why_none(config))
    if config.audit.consistency_sample == 0:
        return Absent("audit.consistency_sample is 0: it was not measured")
    if table.is_empty():
        return Absent(f"fewer than {FEWEST_CUSTOMERS} customers of the sample hold two assets and have attention on them")
    n = table.row(0, named=True)["n"]  # of everybody: the first segment
    return ConsistencyEvidence(
        table,
        f"Measured on the evaluated {config.recommend.model} (known to it: what is dated up to {night.evaluation_cut}), "
        f"{n:,} customers with two holdings or more, of up to {config.audit.consistency_sample:,} drawn, each against his "
        f"{config.audit.neighbours} nearest; {config.audit.permutations:,} permutations, strata of {BANDS} by {BANDS} bands. "
        "Other seed: two fits on the ablation's budget, which differ in the seed alone.",
    )
