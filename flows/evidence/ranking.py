"""How well every model ranked what customers bought next, and on which protocol."""

from __future__ import annotations

from datetime import date

import polars as pl

from flows.night import Night
from reports.evidence import Protocol, RankingEvidence
from reports.ranking import POPULARITY


def gather(night: Night) -> RankingEvidence:
    """The evaluation's metrics with their protocol."""
    metrics = pl.read_parquet(night.folder / "evaluation" / "metrics.parquet")
    return RankingEvidence(_protocol(night, metrics), metrics, night.config.recommend.model, POPULARITY)


def _protocol(night: Night, metrics: pl.DataFrame) -> Protocol:
    everyone = metrics.filter((pl.col("segment_kind") == "all") & (pl.col("model") == POPULARITY)).row(0, named=True)
    n_items = pl.scan_parquet(night.folder / "histories" / "past" / "items.parquet").select(pl.len()).collect().item()
    first = date.fromordinal(night.evaluation_cut.toordinal() + 1)
    return Protocol(
        split=f"trained on what is dated up to {night.evaluation_cut}, scored on buys from {first} to {night.as_of}",
        candidates=f"the full catalogue of {n_items:,} assets less those the customer bought before; "
        "no sampled negatives, no suitability rules",
        relevant="assets that the customer bought for the first time in the scoring window",
        population="customers with at least one earlier buy and at least one relevant asset",
        n_customers=everyone["n_customers"],
        n_relevant=everyone["n_relevant"],
        n_items=n_items,
        cutoff=night.config.evaluate.k,
    )
