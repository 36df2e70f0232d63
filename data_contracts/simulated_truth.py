"""The simulated market's truth, as far as an explanation can be held against it.

Read after everything is recommended, to measure; no step that learns or recommends may read it.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl

from data_contracts import columns as c


def planted_ties(landing: Path) -> pl.DataFrame:
    """``asset_id, companion_id``: holding the first makes a customer buy the second, for as long as it is held."""
    return pl.read_parquet(landing / "truth" / "companions.parquet").select(c.ASSET_ID, "companion_id")


def driven_purchases(landing: Path, after: date, until: date) -> pl.DataFrame:
    """``customer_id, asset_id, driver_id``: purchases in (after, until] that a holding drove, and which one.

    One row a customer and asset, the first purchase; buying more of the same asset is no such purchase.
    """
    return (
        pl.scan_parquet(landing / "truth" / "purchases.parquet")
        .filter((pl.col(c.REASON) == "holding") & (pl.col(c.DATE) > after) & (pl.col(c.DATE) <= until))
        .sort("source_row")
        .group_by(c.CUSTOMER_ID, c.ASSET_ID, maintain_order=True)
        .agg(pl.col("reason_asset_id").first().alias("driver_id"))
        .collect()
    )


def liked_sectors(landing: Path) -> pl.DataFrame:
    """``customer_id, sector``: the three sectors that each customer likes."""
    return pl.read_parquet(landing / "truth" / "tastes.parquet").select(c.CUSTOMER_ID, c.SECTOR)
