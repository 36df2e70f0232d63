"""A small, complete Evidence bundle; a test replaces the section that it is about."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import polars as pl

from reports.ablation import VariantScores, ablation_table
from reports.changes import Change, Changes
from reports.drift_columns import ColumnDrift, DriftVerdict
from reports.evidence import (
    Absent,
    AttentionEvidence,
    Check,
    ConsistencyEvidence,
    Count,
    Evidence,
    Facts,
    FileFact,
    Protocol,
    RankingEvidence,
    RunFacts,
    Timing,
    TrainingEvidence,
    Verdict,
)
from reports.faithfulness import FaithfulnessEvidence, MethodVerdict
from reports.model_card import ModelCard
from reports.ranking import summarise
from reports.sufficiency import sufficiency
from tests.reports.test_ranking import random_models

SECTIONS = tuple(field.name for field in fields(Evidence) if "Absent" in str(field.type))
"""The sections that may be absent."""

FACTS: Facts = (("train.epochs", "18"),)


def rule(rule_id: str, outcome: str = "pass", failed: int = 0) -> dict[str, Any]:
    return {
        "table": "prices",
        "rule_id": rule_id,
        "description": f"{rule_id} holds",
        "columns": ["close"],
        "severity": "quarantine",
        "outcome": outcome,
        "failed": failed,
        "checked": 1000,
        "limit": 0.01,
        "remedy": "Ask for a corrected file.",
        "examples": ["row 17: close -3.2"] if failed else [],
        "message": f"{failed} rows" if failed else "",
    }


def verdict_of(table: str, *rules: dict[str, Any], **rows: int) -> dict[str, Any]:
    counts = {"landed": 1005, "read": 1000, "withheld": 5, "accepted": 998, "quarantined": 2} | rows
    return {"table": table, "contract_version": "1", "rules": list(rules), "notes": [], **counts}


def protocol() -> Protocol:
    return Protocol(
        split="trained up to 2023-12-29, scored to 2024-06-28",
        candidates="all 30 assets; no sampled negatives",
        relevant="bought for the first time in the window",
        population="customers with one relevant asset",
        n_customers=80,
        n_relevant=80,
        n_items=30,
    )


def register(**replaced: str) -> pl.DataFrame:
    line = {
        **{"model_id": "m-0123456789ab", "kind": "better", "run": "run-1", "status": "in the making", "trained_to": "2024-06-28"},
        **{"trained_on": "ab" * 6, "parent": "", "ndcg": 0.25, "n_customers": 80, "approval": ""},
    }
    return pl.DataFrame([line | replaced])


def lines(**replaced: str) -> pl.DataFrame:
    line = {
        "customer": "c-1",
        "rank": 1,
        "asset_id": "XS0000000009",
        "asset_name": "Brightwater",
        "score": 1.25,
        "reason": "Because of Velmora (61 %).",
        "profile": "balanced",
    }
    return pl.DataFrame([line | replaced])


def proof(better: bool = True, **changed: Any) -> FaithfulnessEvidence:
    erased = {"method": "attention", "k": "1", "value": 0.8, "reference": 0.4, "difference": 0.4, "low": 0.3, "high": 0.5}
    counted = {"n_pairs": 500, "n_customers": 300}
    rows = [
        erased | counted | {"measure": measure, "against": against}
        for measure in ("comprehensiveness", "sufficiency")
        for against in ("random", "recent")
    ]
    rows.append(erased | counted | {"measure": "agreement", "k": "", "against": "", "reference": None, "value": 0.25})
    values = {
        "model": "better", "published": "attention", "own": "attention",
        "verdicts": (MethodVerdict("attention", 500, 0.8, 0.4, 0.4, 0.3, 0.5, 0.8, better),),
        "table": pl.DataFrame(rows), "changed_weights": "not applicable: nothing to shuffle", "planted": None,
        "protocol": "seeded",
    }  # fmt: skip
    return FaithfulnessEvidence(**values | changed)


def scores() -> pl.DataFrame:
    """Every customer loses a tenth without the part."""
    reference = [0.2, 0.4] * 30
    return pl.DataFrame(
        {"seed": [0] * 60, "customer": range(60), "reference": reference, "ndcg": [value * 0.9 for value in reference]}
    )


def likeness(**replaced: Any) -> pl.DataFrame:
    """Consistency of all customers and of one segment: alike as far as their holdings are."""
    line = {
        "model": "better", "support": "asset", "segment_kind": "all", "segment": "all", "n": 60, "mean_jsd": 0.61,
        "null_mean": 0.83, "effect": 0.22, "effect_std": 14.0, "p": 0.001, "q": 0.002, "uniform_jsd": 0.58,
        "holdings_null_mean": 0.6, "holdings_effect": -0.01, "holdings_effect_std": -0.4, "holdings_p": 0.7,
        "holdings_q": 0.8, "seed_jsd": 0.05,
    }  # fmt: skip
    return pl.DataFrame([line | replaced, line | {"segment_kind": "risk_level", "segment": "income", "n": 30} | replaced])


def evidence(**sections: Any) -> Evidence:
    customers = pl.DataFrame({"customer": range(80), "risk_level": ["balanced", "income"] * 40})
    column = ColumnDrift("log_value", "wasserstein", 0.1, 0.4, True)
    values: dict[str, Any] = {
        "verdict": Verdict(
            "warn",
            "Published: 79 of 80 customers.",
            (
                Check("Accuracy", "pass", "0.2 against 0.1", "above", link="#ranking", area="model"),
                Check("Contracts", "warn", "2 rows", "none", "Ask the supplier.", "data steward", "contracts.html", area="data"),
                Check("Turnover", "not_applicable", "first night", "none", area="stability"),
                Check("Recheck", "not_measured", "no file", "none", area="suitability", means="Nobody looked."),
            ),
        ),
        "run": RunFacts(
            "run-1", date(2024, 6, 28), datetime(2024, 6, 28, 22, 15, tzinfo=UTC), "simulated market, seed 7",
            "nightfolio", "default", 7, "ab" * 32, "0.1.0", Absent("first publication"),
        ),
        "counts": (Count("Customers", 12345),),
        "changes": Changes(
            "run-0",
            (Change("Recommendations", "780", "790"), Change("Published model", "better", "better")),
            (Change("train.epochs", "17", "18"),),
            np.array([0.0, 0.0, 0.2, 1.0]),
            joined=1,
            left=0,
        ),
        "card": ModelCard(
            "m-0123456789ab", "better", "run-1", "A model that is better.", "Nothing.", ("Ranks assets.",),
            ("It places no orders.",), FACTS, ("One market.",), ("Fails for income customers.",), FACTS,
            "Nobody was asked.", FACTS,
        ),
        "register": register(),
        "ranking": RankingEvidence(protocol(), summarise(random_models(), customers, n_items=30), "better"),
        "sufficiency": sufficiency(pl.Series([0, 3, 7, 60])),
        "contracts": (verdict_of("prices", rule("type"), rule("close_positive", "quarantine", 2)),),
        "reconciliation": pl.DataFrame({"kind": ["equal"], "pairs": [41]}),
        "recommendations": lines(),
        "exclusions": pl.DataFrame(
            {
                "rule_id": ["held"],
                "reason": ["held"],
                "source": ["firm policy"],
                "effect": ["exclude"],
                "limits": [""],
                "candidates": [7],
                "customers": [3],
                "flagged": [0],
                "violations": [0],
            }
        ),
        "attention": AttentionEvidence(
            "better", pl.DataFrame({"customer": ["c-1", "c-1"], "holding": ["Velmora", "Oslund"], "weight": [0.7, 0.3]})
        ),
        "ablation": ablation_table(
            [
                VariantScores("better", "uniform_attention", "weighing by attention", "All weights are the same.", scores()),
                VariantScores("better", "no_regime", "the regime factor", "Alike.", None, "not_applicable", "it is off"),
            ]
        ).with_columns(sample=pl.lit(60, pl.Int64), epochs=pl.lit(3, pl.Int64)),
        "consistency": ConsistencyEvidence(likeness(), "Measured on 60 of 80 customers."),
        "faithfulness": proof(),
        "training": (
            TrainingEvidence(
                "better",
                pl.DataFrame({"step": [0, 1], "epoch": [0, 0], "learning_rate": [1e-4, 1e-3], "loss": [5.0, 4.0]}),
                FACTS,
            ),
        ),
        "drift": (DriftVerdict("trades", "drift", (column,), 0.5, 1.0, 9, 10, 9, 10, 7),),
        "regimes": pl.DataFrame(
            {"date": [date(2024, 6, d) for d in (3, 4, 5)], "regime": ["bull", "bull", "bear"], "level": [1.0, 1.1, 1.0]}
        ),
        "files": (FileFact("input", "prices.parquet", 2048, "cd" * 32, 10),),
        "timings": (Timing("ingest", 2.5, 410.0), Timing("train", 75.0)),
        "config": FACTS,
        "packages": (("polars", "2.1.0"),),
    }  # fmt: skip
    return Evidence(**(values | sections))
