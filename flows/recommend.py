"""Step: recommend. The best eligible candidates per customer, each with its reason; every removed one with its rule."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import torch

from flows.config import RunConfig
from flows.eligible import rank_eligible
from flows.reasons import BY_PROFILE, BY_PROFIT, SILENT, UNNAMED, WITHOUT_HOLDINGS, explain, explain_features, in_words
from flows.suitability import asset_exclusions, asset_risk_class
from lightning_modules.family import FAMILY
from lightning_modules.fit import load_ranker
from lightning_modules.histories import Histories
from lightning_modules.popularity import popularity_scores
from lightning_modules.ranker import FeatureRanker

FALLBACK_DAYS = 90


def recommend(
    config: RunConfig,
    run_id: str,
    as_of: date,
    snapshot: Path,
    histories_dir: Path,
    model_dir: Path,
    out: Path,
) -> Path:
    """Writes to ``out``: recommendations, exclusions, asset_exclusions, customer_exclusions, attention
    (Parquet) and faithfulness.json; features.parquet and feature_faithfulness.json where the model says which features spoke.

    A customer with a history is ranked by the model; one without by his profile, where the model can, and else is offered
    what most customers bought in the last 90 days, and the row says so. One without an accepted profile is offered
    nothing: suitability fails closed. Fewer than k rows mean that fewer candidates were eligible.
    """
    torch.set_num_threads(config.threads)
    out.mkdir(parents=True, exist_ok=True)
    histories = Histories.open(histories_dir)
    items = pl.read_parquet(histories_dir / "items.parquet").with_columns(item=pl.int_range(1, pl.len() + 1, dtype=pl.Int32))
    customers = pl.read_parquet(histories_dir / "customers.parquet").with_columns(customer=pl.int_range(pl.len(), dtype=pl.Int32))
    items = items.join(asset_risk_class(items, config.recommend), on="asset_id", how="left", maintain_order="left")
    removed = asset_exclusions(items, snapshot / "restricted.parquet", as_of, config.recommend)
    removed.write_parquet(out / "asset_exclusions.parquet")

    model = load_ranker(model_dir, histories_dir)
    since = (as_of - timedelta(days=FALLBACK_DAYS)).toordinal() - date(1970, 1, 1).toordinal()
    recent = popularity_scores(histories, since_day=since).numpy()
    top, pair_counts = rank_eligible(config, histories, model, recent, snapshot, items, customers, removed, out)
    has_history = (customers["n_buys"] > 0).to_numpy()
    table, proof = explain(config, histories, model, top, has_history)
    table.write_parquet(out / "attention.parquet")
    if isinstance(model, FeatureRanker):
        explain_features(config, histories, model, top, out)
    (out / "faithfulness.json").write_text(json.dumps(proof, indent=2), encoding="utf-8")
    (out / "exclusion_counts.json").write_text(json.dumps(pair_counts, indent=2), encoding="utf-8")

    rows = top.join(
        items.select("item", "asset_id", "asset_name", "asset_class", "sector", "asset_risk", "risk_source"),
        on="item",
        maintain_order="left",
    ).join(
        customers.select("customer", "customer_id", "risk_level", "risk_predicted", has_history=pl.col("n_buys") > 0),
        on="customer",
        maintain_order="left",
    )
    holdings = pl.scan_parquet(snapshot / "holdings.parquet").select("customer_id", "asset_id", "status").collect()
    faithful = bool(proof.get("better_than_random", False))
    speaks = FAMILY[config.recommend.model].speaks
    reasons = in_words(table, items, customers, holdings, speaks, faithful)
    buyers = pl.DataFrame(
        {
            "item": np.arange(1, histories.n_items + 1, dtype=np.int32),
            "buyers": recent.astype(np.int64),
        }
    )
    fallback = (
        pl.lit(BY_PROFILE)
        if FAMILY[config.recommend.model].serves_cold
        else pl.format(
            "No purchase history yet: one of the assets allowed for this customer that most customers bought "
            "in the last {} days ({} buyers).",
            pl.lit(FALLBACK_DAYS),
            pl.col("buyers"),
        )
    )
    unnamed = WITHOUT_HOLDINGS.get(config.recommend.model, SILENT if speaks == "none" else UNNAMED)
    warm = pl.col("has_history")
    serves_cold = FAMILY[config.recommend.model].serves_cold
    cold_id, cold_explanation = (config.recommend.model, "profile") if serves_cold else ("recent_popularity", "popularity")
    measured = pl.lit(f"{speaks}, better than random erasure" if faithful else f"{speaks}, NOT better than random erasure")
    recommendations = (
        rows.join(reasons, on=["customer", "item"], how="left", maintain_order="left")
        .join(buyers, on="item", how="left", maintain_order="left")
        .with_columns(pl.lit(run_id).alias("run_id"), pl.lit(as_of).alias("as_of"))
        .with_columns(
            model_id=pl.when(warm).then(pl.lit(config.recommend.model)).otherwise(pl.lit(cold_id)),
            explanation=pl.when(pl.col("reason").is_not_null())
            .then(measured)
            .otherwise(pl.when(warm).then(pl.lit(unnamed[0])).otherwise(pl.lit(cold_explanation))),
            reason=pl.coalesce("reason", pl.when(warm).then(pl.lit(unnamed[1])).otherwise(fallback)),
            listed_for=pl.when(pl.col("by_preference")).then(pl.lit("preference")).otherwise(pl.lit("profit")),
        )
        .with_columns(
            reason=pl.when(pl.col("listed_for") == "profit")
            .then(pl.format(BY_PROFIT, (pl.col("profit_view") * 100).round(2), pl.col("reason")))
            .otherwise(pl.col("reason"))
        )
        .select(
            "run_id",
            "as_of",
            "customer_id",
            "rank",
            "asset_id",
            "asset_name",
            "asset_class",
            "sector",
            "score",
            "listed_for",
            "profit_view",
            "model_id",
            "risk_level",
            "risk_predicted",
            "asset_risk",
            "risk_source",
            "reason",
            "reason_assets",
            "reason_weights",
            "explanation",
        )
        .sort("customer_id", "rank")
    )
    recommendations.write_parquet(out / "recommendations.parquet")
    return out
