"""How sample customers' attention spreads over their holdings."""

from __future__ import annotations

import polars as pl

from flows.config import RunConfig
from flows.evidence.pseudonyms import pseudonyms
from flows.night import Night
from lightning_modules.family import FAMILY
from reports.evidence import Absent, AttentionEvidence

HEATMAP_CUSTOMERS = 24


def gather(night: Night) -> AttentionEvidence | Absent:
    """Attention of a seeded sample of customers, of those with 3 to 12 buys where there are any."""
    run, config = night.folder, night.config
    attention = pl.scan_parquet(run / "recommendations" / "attention.parquet")
    customers = (
        pl.scan_parquet(run / "histories" / "present" / "customers.parquet")
        .select("customer_id", "n_buys")
        .with_row_index("customer")
    )
    items = (
        pl.scan_parquet(run / "histories" / "present" / "items.parquet")
        .select("asset_id", "asset_name")
        .with_row_index("item", offset=1)
    )
    several = attention.select("customer").unique().collect()["customer"].sort()
    lengths = customers.collect().filter(pl.col("n_buys").is_between(3, 12))["customer"].cast(several.dtype)
    pool = several.filter(several.is_in(lengths.implode()))
    pool = pool if len(pool) else several
    if pool.is_empty():
        return Absent(why_none(config))
    chosen = pool.sample(min(HEATMAP_CUSTOMERS, len(pool)), seed=config.seed).sort()
    rows = (
        attention.filter(pl.col("customer").is_in(chosen.implode()))
        .with_columns(pl.col("customer", "item", "candidate").cast(pl.UInt32))
        .join(customers, on="customer")
        .join(items, on="item")
        .join(
            items.select(pl.col("item").alias("candidate"), pl.col("asset_name").alias("candidate_name")),
            on="candidate",
        )
        .sort("customer", "candidate", "item")
        .collect()
    )
    names = pseudonyms(night.home, rows["customer_id"])
    return AttentionEvidence(
        config.recommend.model,
        rows.select(
            pl.col("customer_id").replace_strict(names, return_dtype=pl.String).alias("customer"),
            pl.col("asset_name").alias("holding"),
            pl.col("weight").cast(pl.Float64),
            pl.col("candidate_name").alias("candidate"),
        ),
    )


def why_none(config: RunConfig) -> str:
    """Why a run has no attention to show."""
    if FAMILY[config.recommend.model].speaks == "none":
        return f"the published model ({config.recommend.model}) does not look at single purchases of a customer"
    return "no customer has a history, so no attention was measured"
