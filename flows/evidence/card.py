"""The model card of what this run publishes, and the register of all models of the home."""

from __future__ import annotations

import json
from typing import Any

import polars as pl

from flows.champion import settings_of
from flows.evidence.run import rows_in
from flows.night import Night
from flows.register import COLUMNS, models_of, register
from lightning_modules.family import FAMILY, Speaks
from lightning_modules.settings import ModelKind
from reports.evidence_pack import KIND_NAMES, standing
from reports.model_card import ModelCard
from reports.ranking import main_cutoff

RUNS_SHOWN = 30
"""Runs whose models the page lists; `nightfolio models` lists all."""

WHAT: dict[ModelKind, str] = {
    "attention_cf": "Collaborative filtering with attention over the customer's holdings and over the other holders of an asset.",
    "sequential_attention": "The customer's profile and recent purchases ask his whole history for what is alike.",
    "portfolio_attention": "Holdings weighed by value, feature by feature, asked by each candidate asset.",
    "transformer": "Stacked causal self-attention over the customer's purchases in the order of time.",
    "popularity": "The assets that most customers ever bought: the same list for everybody.",
    "recent_popularity": "The assets that most customers bought lately: the same list for everybody.",
    "markov": "From each purchase to what is bought next, counted over all customers.",
    "item_knn": "For each asset its most similar ones, by who bought both.",
    "ease": "A linear model from assets held to assets bought, computed in one step.",
    "bpr_mf": "A vector for each customer and each asset, multiplied.",
    "gru4rec": "A recurrent network over the customer's purchases in the order of time.",
    "signal_attention": "The customer attends over what the market, his profile and his holdings say about a candidate.",
}
SAYS: dict[Speaks, str] = {
    "attention": "Where it looked: the weight of each holding. How far that is the reason is measured every night.",
    "contribution": "Each holding's exact share of the score.",
    "partial contribution": "Each holding's exact share of that part of the score that holdings add.",
    "none": "Nothing about single holdings.",
}
PURPOSE = (
    "Ranks, for each customer with an accepted profile, the assets that suitability rules allow, by how likely the customer is "
    "to buy them next. Meant as a proposal to a client adviser, who knows the customer.",
)
NOT_FOR = (
    "It gives no forecast of returns and no advice on how much to buy, on selling or on the make-up of a portfolio.",
    "It does not judge suitability: rules do that, after it and without it.",
    "It must not place orders, and must not be shown to a customer without the checks of this page.",
)
LIMITS = (
    "It learns what customers bought, not what was good for them: habits and past sales campaigns are in the data.",
    "An asset that nobody bought yet is ranked by its features only, or not at all, depending on the kind of model.",
    "Accuracy is measured on customers who bought something new in the scoring window; the others are not represented.",
    "One scoring window is one market: another may be different. The figures of several nights say more than one.",
)


def gather(night: Night) -> ModelCard:
    """The card of the model that this run publishes."""
    run, config = night.folder, night.config
    kind = config.recommend.model
    (mine,) = [row for row in models_of(run, "staging", current=False, store=night.store) if row["status"] == "in the making"]
    about = json.loads((run / "models" / f"{kind}-published" / "model.json").read_text(encoding="utf-8"))
    gate = json.loads((run / "gate.json").read_text(encoding="utf-8"))
    champion = gate["champion"]
    present = run / "histories" / "present"
    return ModelCard(
        model_id=mine["model_id"],
        kind=kind,
        run=night.run_id,
        what=WHAT[kind],
        says=SAYS[FAMILY[kind].speaks],
        purpose=PURPOSE,
        not_for=NOT_FOR,
        data=(
            ("Trained on", f"buys dated up to {about['cut']}"),
            ("Customers", f"{rows_in(present / 'customers.parquet'):,}"),
            ("Assets", f"{rows_in(present / 'items.parquet'):,}"),
            ("Examples", f"{about['fit']['examples']:,}"),
            ("Training set, SHA-256", f"{mine['trained_on']}…"),
            ("Parameters", f"{about['fit']['parameters']:,}"),
        ),
        limits=LIMITS,
        failures=_failures(night, gate),
        lineage=(
            ("Model", mine["model_id"]),
            ("Follows", mine["parent"] or "no earlier model of this preset and source"),
            ("Champion and challenger", champion["told"] if champion else "not recorded"),
        ),
        approval=_approval(gate),
        settings=_settings(settings_of(config)),
    )


def models(night: Night) -> pl.DataFrame:
    """The register as it stands with this run, newest first."""
    tonight = pl.DataFrame(list(models_of(night.folder, "staging", current=False, store=night.store)), schema=COLUMNS)
    return pl.concat([tonight, register(night.store, newest=RUNS_SHOWN)])


def _failures(night: Night, gate: dict[str, Any]) -> tuple[str, ...]:
    checks = [
        f"{line['means']} ({line['name']}: {line['measured']})"
        for line in gate["checks"]
        if line["outcome"] in ("warn", "block") and line["area"] in ("model", "explanation", "fairness")
    ]
    model = night.config.recommend.model
    metrics = pl.read_parquet(night.folder / "evaluation" / "metrics.parquet").filter(pl.col("model") == model)
    k = main_cutoff(metrics)
    segments = [
        f"{KIND_NAMES.get(row['segment_kind'], row['segment_kind'])} {row['segment']}: {said} "
        f"(NDCG@{k} {row[f'ndcg_at_{k}']:.4f}, {row['n_customers']:,} customers)"
        for row in metrics.filter(pl.col("segment_kind") != "all").iter_rows(named=True)
        if (said := standing(row, "popularity")).startswith(("below", "not distinguishable"))
    ]
    return (*checks, *segments)


def _approval(gate: dict[str, Any]) -> str:
    if gate["publish"] == "never":
        return "Blocked by the gate; nobody can approve it."
    if gate["needs_decision"]:
        return f"A person decides (gate.approval = {gate['approval']}). The decision is recorded beside the run, in the chain."
    return f"No person was asked (gate.approval = {gate['approval']}); the gate's checks decided."


def _settings(settings: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (f"{section}.{name}", json.dumps(value))
        for section in ("model", "baselines", "train")
        for name, value in settings[section].items()
    )
