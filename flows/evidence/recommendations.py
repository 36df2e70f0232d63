"""Lines of the published file, a sample of customers under pseudonyms."""

from __future__ import annotations

import polars as pl

from flows.night import Night
from flows.pseudonyms import pseudonyms

SAMPLE_CUSTOMERS = 8


def gather(night: Night) -> pl.DataFrame:
    """The first three recommendations of a seeded sample of customers, of those with several buys where there are any."""
    recommendations = pl.read_parquet(night.folder / "recommendations.parquet")
    customers = pl.read_parquet(night.folder / "histories" / "present" / "customers.parquet")
    active = customers.filter(pl.col("n_buys") >= 3)["customer_id"]
    served = recommendations["customer_id"].unique().sort()
    pool = served.filter(served.is_in(active.implode())) if len(active) else served
    chosen = (
        (pool if len(pool) else served).sample(min(SAMPLE_CUSTOMERS, len(pool) or len(served)), seed=night.config.seed).sort()
    )
    rows = recommendations.filter(pl.col("customer_id").is_in(chosen.implode()) & (pl.col("rank") <= 3))
    names = pseudonyms(night.home, rows["customer_id"])
    return rows.select(
        pl.col("customer_id").replace_strict(names, return_dtype=pl.String).alias("customer"),
        pl.col("rank").cast(pl.Int64),
        "asset_id",
        "asset_name",
        pl.col("score").cast(pl.Float64),
        "reason",
        profile=pl.col("risk_level") + pl.when(pl.col("risk_predicted")).then(pl.lit(" (predicted)")).otherwise(pl.lit("")),
    )
