"""What the parts of the model are worth."""

from __future__ import annotations

import polars as pl

from flows.night import Night
from reports.evidence import Absent


def gather(night: Night) -> pl.DataFrame | Absent:
    """The table that the ablation wrote."""
    table = pl.read_parquet(night.folder / "audit" / "ablation.parquet")
    return table if table.height else Absent("audit.ablations names no variant: nothing was taken away")
