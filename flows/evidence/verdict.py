"""The verdict: what was checked, and what it comes to."""

from __future__ import annotations

import json
from typing import Any

import polars as pl

from flows.config import RunConfig
from flows.evidence import attention
from flows.night import Night
from reports.drift_columns import DriftVerdict
from reports.evidence import Absent, Check, Outcome, Verdict
from reports.ranking import EASE


def gather(night: Night, drift: tuple[DriftVerdict, ...] | Absent) -> Verdict:
    """Every check of the run, and one sentence."""
    run, config = night.folder, night.config
    served = pl.read_parquet(run / "recommendations.parquet", columns=["customer_id"])["customer_id"].value_counts()
    full = served.filter(pl.col("count") == config.recommend.k).height
    customers = pl.scan_parquet(run / "histories" / "present" / "customers.parquet").select(pl.len()).collect().item()
    metrics = pl.read_parquet(run / "evaluation" / "metrics.parquet")
    proof = json.loads((run / "recommendations" / "faithfulness.json").read_text(encoding="utf-8"))
    verdicts = tuple(json.loads((run / "contracts" / "verdicts.json").read_text(encoding="utf-8")))
    checks = _checks(config, metrics, verdicts, drift, proof)
    outcome: Outcome = "warn" if any(check.outcome != "pass" for check in checks) else "pass"
    return Verdict(
        outcome,
        f"Published: {served.height:,} of {customers:,} customers were given recommendations, "
        f"{full:,} of them all {config.recommend.k}.",
        checks,
    )


def _checks(
    config: RunConfig,
    metrics: pl.DataFrame,
    verdicts: tuple[dict[str, Any], ...],
    drift: tuple[DriftVerdict, ...] | Absent,
    proof: dict[str, Any],
) -> tuple[Check, ...]:
    everyone = metrics.filter((pl.col("segment_kind") == "all") & (pl.col("model") == config.recommend.model)).row(0, named=True)
    k = max(int(name.rsplit("_", 1)[1]) for name in metrics.columns if name.startswith("ndcg_at_") and name.count("_") == 2)
    quarantined = sum(verdict["quarantined"] for verdict in verdicts)
    read = sum(verdict["read"] for verdict in verdicts)
    warned = [
        f"{rule['table']}.{rule['rule_id']}" for verdict in verdicts for rule in verdict["rules"] if rule["outcome"] == "warn"
    ]
    drifted = [] if isinstance(drift, Absent) else [verdict.table for verdict in drift if verdict.outcome == "drift"]
    checks = (
        Check(
            "Data contracts",
            "warn" if warned else "pass",
            f"{read:,} rows read, {quarantined:,} quarantined" + (f"; warnings: {', '.join(warned)}" if warned else ""),
            "no blocking rule broken",
            "Read the warned rules on the contracts page.",
            "data steward",
            "contracts.html",
        ),
        Check(
            "Accuracy against popularity",
            "pass" if (everyone["ndcg_gain_low"] or 0) > 0 else "warn",
            f"NDCG@{k} {everyone[f'ndcg_at_{k}']:.4f}, paired gain {_signed(everyone['ndcg_gain'])} "
            f"[{_signed(everyone['ndcg_gain_low'])}, {_signed(everyone['ndcg_gain_high'])}]",
            "the 95 % interval of the paired gain lies above 0",
            "Do not rely on this model; compare with `nightfolio train`.",
            "data scientist",
            "#ranking",
        ),
        Check(
            "Accuracy against EASE",
            "pass" if config.recommend.model == EASE or (everyone["ease_gain_low"] or 0) > 0 else "warn",
            "EASE itself is published"
            if config.recommend.model == EASE
            else f"paired gain {_signed(everyone['ease_gain'])} "
            f"[{_signed(everyone['ease_gain_low'])}, {_signed(everyone['ease_gain_high'])}]",
            "the 95 % interval of the paired gain lies above 0",
            "The model does not beat a linear one that takes seconds: publish that one (recommend.model = ease), or tune.",
            "data scientist",
            "#ranking",
        ),
        Check(
            "Attention as an explanation",
            "pass" if proof.get("better_than_random") else "warn",
            "erasing the most attended holding hurts more than a random one"
            if proof.get("better_than_random")
            else "not shown to be better than erasing a random holding"
            if proof.get("n_pairs")
            else attention.why_none(config),
            "the 95 % interval of the paired difference lies above 0",
            "Read the reasons as descriptions of the model's weights, not as causes; the file says so on each row.",
            "data scientist",
            "#faithfulness",
        ),
    )
    if isinstance(drift, Absent):
        return checks  # a check that was not made is not a pass; the drift section says why
    return (
        *checks,
        Check(
            "Drift",
            "warn" if drifted else "pass",
            f"drifted: {', '.join(drifted)}" if drifted else "no table drifted",
            f"fewer than {config.drift.drift_share:.0%} of a table's columns drifted",
            "Look at what changed since the previous publication before relying on the recommendations.",
            "data scientist",
            "#drift",
        ),
    )


def _signed(value: float | None) -> str:
    return "unknown" if value is None else f"{value:+.4f}"  # no interval from a single customer
