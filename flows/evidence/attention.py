"""How sample customers' attention spreads over their holdings: as it is, by layer and head, and in bull and bear markets."""

from __future__ import annotations

import json

import polars as pl

from flows.config import RunConfig
from flows.night import Night
from flows.pseudonyms import pseudonyms
from lightning_modules.family import FAMILY
from reports.evidence import Absent, AttentionEvidence

HEATMAP_CUSTOMERS = 24


def gather(night: Night) -> AttentionEvidence | Absent:
    """Attention of the customers whose detail was measured (a seeded sample), else of a seeded sample of all that have any."""
    run, config = night.folder, night.config
    folder = run / "recommendations"
    attention = pl.scan_parquet(folder / "attention.parquet")
    detail = pl.read_parquet(folder / "attention_detail.parquet") if (folder / "attention_detail.parquet").exists() else None
    known = attention.select("customer").unique().collect()["customer"].sort() if detail is None else detail["customer"].unique()
    if known.is_empty():
        return Absent(why_none(config))
    chosen = known.sort().sample(min(HEATMAP_CUSTOMERS, len(known)), seed=config.seed).sort()
    customers = (
        pl.scan_parquet(run / "histories" / "present" / "customers.parquet")
        .select("customer_id")
        .with_row_index("customer")
        .with_columns(pl.col("customer").cast(pl.Int32))
        .collect()
    )
    items = (
        pl.scan_parquet(run / "histories" / "present" / "items.parquet")
        .select("asset_name")
        .with_row_index("item", offset=1)
        .with_columns(pl.col("item").cast(pl.Int32))
        .collect()
    )
    mine = customers.filter(pl.col("customer").is_in(chosen.implode()))
    names = pseudonyms(night.home, mine["customer_id"])

    def named(rows: pl.DataFrame) -> pl.DataFrame:
        return (
            rows.join(mine, on="customer", maintain_order="left")
            .join(items, on="item", maintain_order="left")
            .with_columns(
                pl.col("customer_id").replace_strict(names, return_dtype=pl.String).alias("customer"),
                pl.col("asset_name").alias("holding"),
                pl.col("weight").cast(pl.Float64),
            )
        )

    rows = (
        attention.filter(pl.col("customer").is_in(chosen.implode()))
        .sort("customer", "candidate", "item")
        .collect()
        .join(items.select(candidate="item", candidate_name="asset_name"), on="candidate", maintain_order="left")
    )
    told = folder / "attention_detail.json"
    return AttentionEvidence(
        config.recommend.model,
        named(rows).select("customer", "holding", "weight", candidate="candidate_name"),
        detail=None if detail is None else named(detail).select("customer", "holding", "layer", "head", "regime", "weight"),
        regimes=json.loads(told.read_text(encoding="utf-8"))["regimes"] if told.exists() else "",
    )


def why_none(config: RunConfig) -> str:
    """Why a run has no attention to show."""
    if FAMILY[config.recommend.model].speaks == "none":
        return f"the published model ({config.recommend.model}) does not look at single purchases of a customer"
    return "no customer has a history, so no attention was measured"
