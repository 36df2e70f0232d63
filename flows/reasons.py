"""Why each recommendation is made, in its row: the holdings and features that counted, with weights and in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flows.config import RunConfig
from flows.explain import Explanation
from flows.sentences import MOST_NAMED, NO_HOLDING, Named, doubt, features_sentence, holdings_sentence
from lightning_modules.family import FAMILY

FALLBACK_DAYS = 90
WITHOUT_HOLDINGS: Mapping[str, tuple[str, str]] = {
    "popularity": ("popularity", "One of the assets allowed for this customer that most customers bought."),
    "recent_popularity": ("popularity", "One of the assets allowed for this customer that most customers bought of late."),
}
"""What stands as explanation and as reason beside a recommendation by a model that reads no holdings."""
BY_PROFILE = "No purchase history yet: ranked by what this customer's profile says of the asset's features."
BY_POPULARITY = (
    "No purchase history yet: one of the assets allowed for this customer that most customers bought in the last {} days "
    "({} buyers)."
)
BY_PROFIT = (
    "Listed for its expected return, {} % a month relative to the average asset by its past prices, "
    "in place of an asset that this customer would rather buy. {}"
)


def with_reasons(
    config: RunConfig,
    rows: pl.DataFrame,
    explanation: Explanation,
    items: pl.DataFrame,
    customers: pl.DataFrame,
    holdings: pl.DataFrame,
    recent: NDArray[np.float32],
) -> pl.DataFrame:
    """``rows`` (customer, item, has_history, by_preference, profit_view, ...) with model_id, explanation, reason, listed_for,
    and as lists reason_assets and reason_weights, reason_features and reason_feature_weights (null where none is named).

    ``holdings``: customer_id, asset_id, status; ``recent`` [N]: buyers of each item in the last ``FALLBACK_DAYS``.
    """
    model = config.recommend.model
    serves_cold = FAMILY[model].serves_cold
    warm, method = pl.col("has_history"), explanation.method
    buyers = pl.DataFrame({"item": np.arange(1, len(recent) + 1, dtype=np.int32), "buyers": recent.astype(np.int64)})
    cold_reason = pl.lit(BY_PROFILE) if serves_cold else pl.format(BY_POPULARITY, pl.lit(FALLBACK_DAYS), pl.col("buyers"))
    measured = f"{method}, {'better' if explanation.faithful else 'NOT better'} than random erasure"
    silent = WITHOUT_HOLDINGS.get(model, ("none" if method == "none" else measured, NO_HOLDING[method]))
    named = reason_columns(explanation, items, customers, holdings)
    return (
        rows.join(named, on=["customer", "item"], how="left", maintain_order="left")
        .join(_feature_columns(explanation), on=["customer", "item"], how="left", maintain_order="left")
        .join(buyers, on="item", how="left", maintain_order="left")
        .with_columns(
            model_id=pl.when(warm | serves_cold).then(pl.lit(model)).otherwise(pl.lit("recent_popularity")),
            explanation=pl.when(pl.col("reason").is_not_null())
            .then(pl.lit(measured))
            .otherwise(pl.when(warm).then(pl.lit(silent[0])).otherwise(pl.lit("profile" if serves_cold else "popularity"))),
            reason=pl.coalesce("reason", pl.when(warm).then(pl.lit(silent[1])).otherwise(cold_reason)),
            listed_for=pl.when(pl.col("by_preference")).then(pl.lit("preference")).otherwise(pl.lit("profit")),
        )
        .with_columns(reason=pl.concat_str(["reason", "feature_reason"], separator=" ", ignore_nulls=True))
        .with_columns(
            reason=pl.when(pl.col("listed_for") == "profit")
            .then(pl.format(BY_PROFIT, (pl.col("profit_view") * 100).round(2), pl.col("reason")))
            .otherwise(pl.col("reason"))
        )
        .drop("buyers", "feature_reason")
    )


def reason_columns(
    explanation: Explanation, items: pl.DataFrame, customers: pl.DataFrame, holdings: pl.DataFrame
) -> pl.DataFrame:
    """``customer, item, reason, reason_assets, reason_weights``: of every recommendation for which a holding speaks."""
    pair = ["customer", "candidate"]
    weighed = explanation.weights.with_columns(pl.col("weight").cast(pl.Float64).round(4))
    ordered = weighed.sort([*pair, "weight", "item"], descending=[False, False, True, False])
    named = (
        ordered.filter(pl.col("weight") > 0)
        .group_by(pair, maintain_order=True)
        .head(MOST_NAMED)
        .join(items.select("item", "asset_id", "asset_name"), on="item", maintain_order="left")
        .join(customers.select("customer", "customer_id"), on="customer", maintain_order="left")
        .join(holdings, on=["customer_id", "asset_id"], how="left", maintain_order="left")
        .group_by(pair, maintain_order=True)
        .agg(
            pl.col("asset_name"),
            (pl.col("status") == "closed").fill_null(False).alias("sold"),
            pl.col("asset_id").alias("reason_assets"),
            pl.col("weight").alias("reason_weights"),
        )
    )
    counted = pl.col("weight") > 0
    others = ordered.group_by(pair, maintain_order=True).agg(
        purchases=pl.len(),
        others=(counted.sum().cast(pl.Int64) - MOST_NAMED).clip(0),
        # What the named ones leave, so that a sentence adds up with its row.
        rest=(1 - pl.col("weight").head(MOST_NAMED).sum()).round(4).clip(0.0001),
        tied=(pl.col("weight").slice(MOST_NAMED) == pl.col("weight").get(MOST_NAMED - 1, null_on_oob=True)).sum()
        * (counted.sum() > MOST_NAMED),
    )
    frame = named.join(others, on=pair, how="left", maintain_order="left")
    tail = "" if explanation.faithful else doubt(explanation.method)
    words = [_words(explanation, row) + "." + tail for row in frame.iter_rows(named=True)]
    return frame.select(
        "customer",
        pl.col("candidate").alias("item"),
        pl.Series("reason", words, dtype=pl.String),
        "reason_assets",
        "reason_weights",
    )


def _words(explanation: Explanation, row: Mapping[str, Any]) -> str:
    named = [
        Named(name, weight, sold)
        for name, weight, sold in zip(row["asset_name"], row["reason_weights"], row["sold"], strict=True)
    ]
    return holdings_sentence(explanation.method, named, row["others"], row["rest"], row["tied"], row["purchases"])


def _feature_columns(explanation: Explanation) -> pl.DataFrame:
    """``customer, item, feature_reason, reason_features, reason_feature_weights``."""
    pair = ["customer", "candidate"]
    if explanation.features is None:
        lists = {"reason_features": pl.List(pl.String), "reason_feature_weights": pl.List(pl.Float64)}
        return pl.DataFrame(schema={"customer": pl.Int32(), "item": pl.Int32(), "feature_reason": pl.String(), **lists})
    frame = (
        explanation.features.with_columns(pl.col("weight").cast(pl.Float64).round(4))
        .filter(pl.col("weight") > 0)
        .sort([*pair, "weight", "feature"], descending=[False, False, True, False])
        .group_by(pair, maintain_order=True)
        .agg(
            pl.col("feature").head(MOST_NAMED).alias("reason_features"),
            pl.col("weight").head(MOST_NAMED).alias("reason_feature_weights"),
        )
    )
    words = [
        features_sentence(
            [Named(name, weight) for name, weight in zip(names, weights, strict=True)], explanation.features_left_out
        )
        for names, weights in frame.select("reason_features", "reason_feature_weights").iter_rows()
    ]
    return frame.select(
        "customer",
        pl.col("candidate").alias("item"),
        pl.Series("feature_reason", words, dtype=pl.String),
        "reason_features",
        "reason_feature_weights",
    )
