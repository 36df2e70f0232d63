"""Why each recommendation is made: the holdings and features that counted, measured, and in words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from numpy.typing import NDArray

from flows.config import RunConfig
from flows.learn import model_spec
from lightning_modules.explanations import attention_table, faithfulness
from lightning_modules.family import FAMILY, Speaks, events_read
from lightning_modules.feature_explanations import feature_attention_table, feature_faithfulness
from lightning_modules.histories import Histories
from lightning_modules.ranker import FeatureRanker, Ranker

# What stands as explanation and as reason beside a recommendation that no purchase is named for.
SILENT = ("none", "Customers with similar purchases bought it; this model does not say which purchase spoke for it.")
UNNAMED = ("none", "None of this customer's purchases speaks for it: it follows those for which one does.")
LEADS: Mapping[Speaks, tuple[str, str]] = {
    "attention": ("Attention rested on", ""),
    "contribution": ("The score comes from", ""),
    "none": ("", ""),  # such a model's reasons are in WITHOUT_HOLDINGS
    "partial contribution": ("What speaks for it among holdings are", "; what other customers buy and the profile count besides"),
}
WITHOUT_HOLDINGS: Mapping[str, tuple[str, str]] = {
    "popularity": ("popularity", "One of the assets allowed for this customer that most customers bought."),
    "recent_popularity": ("popularity", "One of the assets allowed for this customer that most customers bought of late."),
    "gru4rec": ("none", "It often follows such purchases; this model does not say which purchase spoke for it."),
}
BY_PROFILE = "No purchase history yet: ranked by what this customer's profile says of the asset's features."
BY_PROFIT = (
    "Listed for its expected return, {} % a month relative to the average asset by its past prices, "
    "in place of an asset that this customer would rather buy. {}"
)
FAITHFULNESS_SAMPLE = 500
NAMED_HOLDINGS = 3
Ints = NDArray[np.int64]


def explain(
    config: RunConfig,
    histories: Histories,
    model: Ranker,
    top: pl.DataFrame,
    has_history: NDArray[np.bool_],
) -> tuple[pl.DataFrame, dict[str, object]]:
    """Attention of every recommendation over the customer's holdings, and its measured faithfulness on a sample.

    Both empty for a kind of model that does not look at single holdings.
    """
    spec = model_spec(config, config.recommend.model)
    if FAMILY[spec.kind].speaks == "none":
        has_history = np.zeros_like(has_history)
    read, k = events_read(spec), config.recommend.k
    ranked = top.filter(pl.Series(has_history[top["customer"].to_numpy()]))
    who, candidates = _listed(ranked, k)
    frame = pl.from_arrow(attention_table(model, histories, who, candidates, read))
    assert isinstance(frame, pl.DataFrame)
    draw = np.random.default_rng(config.seed)
    sample = np.sort(draw.choice(len(who), min(FAITHFULNESS_SAMPLE, len(who)), replace=False))
    proof = faithfulness(model, histories, who[sample], candidates[sample], config.seed, max_length=read)
    return frame, dict(proof)


def explain_features(config: RunConfig, histories: Histories, model: FeatureRanker, top: pl.DataFrame, out: Path) -> None:
    """features.parquet: the weight of every feature of every recommendation; and its faithfulness on a sample."""
    read = events_read(model_spec(config, config.recommend.model))
    who, candidates = _listed(top, config.recommend.k)
    pq.write_table(feature_attention_table(model, histories, who, candidates, read), out / "features.parquet")
    sample = np.sort(np.random.default_rng(config.seed).choice(len(who), min(FAITHFULNESS_SAMPLE, len(who)), replace=False))
    proof = feature_faithfulness(model, histories, who[sample], candidates[sample], config.seed, max_length=read)
    (out / "feature_faithfulness.json").write_text(json.dumps(proof, indent=2), encoding="utf-8")


def _listed(top: pl.DataFrame, k: int) -> tuple[Ints, Ints]:
    """Customers [n] in order of appearance, and their items by rank [n, k], 0 where there is none."""
    who = top["customer"].unique(maintain_order=True).to_numpy().astype(np.int64)
    place = pl.DataFrame({"customer": who.astype(np.int32), "row": np.arange(len(who))})
    items = np.zeros((len(who), k), np.int64)
    placed = top.join(place, on="customer", maintain_order="left")
    items[placed["row"].to_numpy(), placed["rank"].to_numpy() - 1] = placed["item"].to_numpy()
    return who, items


def in_words(
    attention: pl.DataFrame,
    items: pl.DataFrame,
    customers: pl.DataFrame,
    holdings: pl.DataFrame,
    speaks: Speaks,
    faithful: bool,
) -> pl.DataFrame:
    """``customer, item, reason, reason_assets, reason_weights``: the holdings that carried most weight, in words."""
    named = (
        attention.filter(pl.col("weight") > 0)
        .sort(["customer", "candidate", "weight", "item"], descending=[False, False, True, False])
        .group_by("customer", "candidate", maintain_order=True)
        .head(NAMED_HOLDINGS)
        .join(items.select("item", "asset_id", "asset_name"), on="item", maintain_order="left")
        .join(customers.select("customer", "customer_id"), on="customer", maintain_order="left")
        .join(holdings, on=["customer_id", "asset_id"], how="left", maintain_order="left")
        .with_columns(
            words=pl.format(
                "{}{} ({} %)",
                pl.col("asset_name"),
                pl.when(pl.col("status") == "closed").then(pl.lit(", since sold")).otherwise(pl.lit("")),
                (pl.col("weight") * 100).round(0).cast(pl.Int64),
            )
        )
    )
    lead, rest = LEADS[speaks]
    doubt = f". {speaks.capitalize()} was not shown to be better than chance as an explanation in this run."
    tail = "." if faithful else doubt
    return (
        named.group_by("customer", "candidate", maintain_order=True)
        .agg(
            pl.col("words").str.join(", "),
            pl.col("asset_id").alias("reason_assets"),
            pl.col("weight").cast(pl.Float64).round(4).alias("reason_weights"),
        )
        .select(
            "customer",
            pl.col("candidate").alias("item"),
            pl.format("{} the customer's purchases of {}{}", pl.lit(lead), pl.col("words"), pl.lit(rest + tail)).alias("reason"),
            "reason_assets",
            "reason_weights",
        )
    )
