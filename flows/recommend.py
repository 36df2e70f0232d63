"""Step: recommend. The best eligible candidates per customer, each with its reason; every removed one with its rule."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import torch

from flows.config import RunConfig
from flows.eligibility import in_words as eligibility_in_words
from flows.eligible import rank_eligible
from flows.explain import explain
from flows.reasons import FALLBACK_DAYS, with_reasons
from flows.suitability import asset_breaches, asset_risk_class
from lightning_modules.days import days_since_epoch
from lightning_modules.fit import load_ranker
from lightning_modules.histories import Histories
from lightning_modules.popularity import popularity_scores

RULES_FILE = "suitability_rules.toml"


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
    (Parquet), the rules that were in force (suitability_rules.toml) and what :func:`flows.explain.explain` adds.

    A customer with a history is ranked by the model; one without by his profile, where the model can, and else is offered
    what most customers bought in the last 90 days, and the row says so. One without an accepted profile is offered
    nothing: suitability fails closed. Fewer than k rows mean that fewer candidates were eligible.
    """
    torch.set_num_threads(config.threads)
    out.mkdir(parents=True, exist_ok=True)
    histories = Histories.open(histories_dir)
    items = pl.read_parquet(histories_dir / "items.parquet").with_columns(item=pl.int_range(1, pl.len() + 1, dtype=pl.Int32))
    customers = pl.read_parquet(histories_dir / "customers.parquet").with_columns(customer=pl.int_range(pl.len(), dtype=pl.Int32))
    items = items.join(asset_risk_class(items, config.suitability.asset_risk), on="asset_id", how="left", maintain_order="left")
    (out / RULES_FILE).write_text(config.suitability.as_toml(), encoding="utf-8")
    breaches = asset_breaches(items, snapshot / "restricted.parquet", as_of, config.suitability)
    breaches.filter(pl.col("effect") == "exclude").drop("effect").write_parquet(out / "asset_exclusions.parquet")

    model = load_ranker(model_dir, histories_dir)
    since = days_since_epoch(as_of - timedelta(days=FALLBACK_DAYS))
    recent = popularity_scores(histories, since_day=since).numpy()
    top, pair_counts = rank_eligible(config, histories, model, recent, snapshot, items, customers, breaches, out)
    has_history = (customers["n_buys"] > 0).to_numpy()
    explanation = explain(config, histories, model, top, has_history, out)
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
    recommendations = (
        with_reasons(config, rows, explanation, items, customers, holdings, recent)
        .with_columns(pl.lit(run_id).alias("run_id"), pl.lit(as_of).alias("as_of"))
        .with_columns(eligibility=eligibility_in_words(config.suitability, breaches))
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
            "reason_features",
            "reason_feature_weights",
            "explanation",
            "eligibility",
            "flags",
        )
        .sort("customer_id", "rank")
    )
    recommendations.write_parquet(out / "recommendations.parquet")
    return out
