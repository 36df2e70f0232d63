"""Tables with dated rows, as they were valid on a day: the newest row per key that is not dated after it."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl

from data_contracts import columns as c


def valid_at(path: Path, key: str, as_of: date) -> pl.LazyFrame:
    """One row per ``key``: the newest with valid_from <= as_of, in the order of the key.

    Of several rows of the same day the one latest in the source counts (the later statement is the correction);
    the contract's rule ``key_conflict`` has usually taken the others out already. A key whose first row is later than
    as_of is absent: nothing was known of it.
    """
    rows = pl.scan_parquet(path).filter(pl.col(c.VALID_FROM) <= as_of)
    order = [c.VALID_FROM] + ([c.SOURCE_ROW] if c.SOURCE_ROW in rows.collect_schema().names() else [])
    return rows.sort(key, *order).unique(subset=[key], keep="last", maintain_order=True)


def same_day_conflicts(path: Path, key: str, as_of: date) -> int:
    """How many rows lose to another row of the same key and day (what ``valid_at`` had to choose between)."""
    rows = pl.scan_parquet(path).filter(pl.col(c.VALID_FROM) <= as_of)
    counted = rows.group_by(key, c.VALID_FROM).len().select((pl.col("len") - 1).sum())
    return int(counted.collect(engine="streaming").item() or 0)
