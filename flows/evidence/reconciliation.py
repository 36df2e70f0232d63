"""Holdings derived from trades against holdings as delivered."""

from __future__ import annotations

import polars as pl

from flows.night import Night
from reports.evidence import Absent


def gather(night: Night) -> pl.DataFrame | Absent:
    """Pairs of customer and asset by kind of difference."""
    path = night.folder / "snapshot" / "reconciliation.parquet"
    if not path.exists():
        return Absent("the source delivers no holdings, so the derived ones have nothing to be reconciled with")
    return pl.read_parquet(path).group_by("kind").agg(pairs=pl.len().cast(pl.Int64)).sort("kind")
