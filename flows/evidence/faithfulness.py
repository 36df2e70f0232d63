"""The proof of the explanations that ``recommend`` made, and on the simulated market how often they name the planted reason."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl

from flows.evidence import attention
from flows.night import Night
from reports.evidence import Absent
from reports.faithfulness import FaithfulnessEvidence, MethodVerdict


def gather(night: Night) -> FaithfulnessEvidence | Absent:
    """What ``faithfulness.json``, ``faithfulness.parquet`` and ``planted.json`` say."""
    folder = night.folder / "recommendations"
    proof = json.loads((folder / "faithfulness.json").read_text(encoding="utf-8"))
    if not proof.get("n_pairs"):
        return Absent(attention.why_none(night.config))
    verdicts = tuple(
        MethodVerdict(
            method=method,
            n=found["n_pairs"],
            drop=found["mean_drop_attended"],
            drop_random=found["mean_drop_random"],
            difference=found["mean_difference"],
            low=found["ci_low"],
            high=found["ci_high"],
            share_larger=found["share_attended_larger"],
            better_than_random=found["better_than_random"],
        )
        for method, found in sorted(proof["methods"].items(), key=lambda entry: entry[0] != proof["method"])
    )
    return FaithfulnessEvidence(
        model=night.config.recommend.model,
        published=proof["method"],
        own=proof["weights"],
        verdicts=verdicts,
        table=pl.read_parquet(folder / "faithfulness.parquet"),
        changed_weights=proof["changed_weights"],
        planted=_planted(folder / "planted.json"),
        protocol=f"{proof['sample_candidates']} recommendations each of {proof['n_customers']:,} served customers with at least "
        f"two holdings (of a seeded sample of {proof['sample_customers']:,}), scored again with holdings erased; log-probability "
        "over the catalogue, in nats; k holdings are asked of customers with more than k; 95 % bootstrap over customers. "
        f"Leave-one-out looks at the {proof['most_holdings']} most recently bought holdings.",
    )


def _planted(path: Path) -> pl.DataFrame | None:
    if not path.exists():
        return None
    planted = json.loads(path.read_text(encoding="utf-8"))
    rows = pl.DataFrame([row for row in planted["rows"] if row["n_pairs"]])
    if rows.is_empty():
        return None
    return rows.with_columns(definition=pl.col("what").replace_strict(planted["definitions"], return_dtype=pl.String))
