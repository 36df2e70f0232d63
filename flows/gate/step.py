"""Step: gate. Makes every check on the finished run, decides, and writes ``gate.json``.

``gate.json``::

    verdict         pass, warn, block
    publish         now; after_approval: a person decides first; never: the last good publication stays in force
    needs_decision  whether `nightfolio approve` or `reject` is waited for
    approval        the setting gate.approval
    checks          id, name, outcome, measured, threshold, remedy, owner, link, values; outcomes are pass, warn, block,
                    not_measured (ought to have been made: weighs like warn,
                    and is a block where failing the check blocks) and not_applicable (nothing to make it on)
    champion        evaluation/champion.json
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import polars as pl

from flows.gate import accuracy, data, explanation, fairness, offer
from flows.gate.finding import RANK, Finding
from flows.made_tables import made_verdicts
from flows.night import Night
from flows.sections.gate import GateConfig
from reports.drift_columns import DriftVerdict
from reports.evidence import Absent

log = logging.getLogger("nightfolio")


def gate(night: Night, drift: tuple[DriftVerdict, ...] | Absent) -> Path:
    """Checks the run, says what does not hold, and writes ``gate.json``."""
    champion = read_json(night.folder / "evaluation" / "champion.json")
    findings = checks(night, drift, champion)
    decided = decide(findings, night.config.gate) | {"champion": champion}
    for line in decided["checks"]:
        if line["outcome"] in ("warn", "block", "not_measured"):
            log.warning("  gate: %s: %s: %s", line["outcome"].replace("_", " "), line["name"], line["measured"])
    if decided["publish"] == "never":
        before = night.store.current()
        log.error(
            "BLOCKED: run %s is not published; %s",
            night.run_id,
            "nothing was published before it" if before is None else f"run {before.name} stays in force",
        )
    path = night.folder / "gate.json"
    path.write_text(json.dumps(decided, indent=2), encoding="utf-8")
    return path


def decide(findings: tuple[Finding, ...], settings: GateConfig) -> dict[str, Any]:
    """The worst finding is the verdict; the verdict and ``gate.approval`` say whether the run is published."""
    findings = tuple(finding.enforced(settings) for finding in findings)
    worst = max((RANK[finding.outcome] for finding in findings), default=0)
    verdict = ("pass", "warn", "block")[worst]
    asked = settings.approval == "always" or (settings.approval == "on_warn" and verdict == "warn")
    needs_decision = asked and verdict != "block"
    return {
        "verdict": verdict,
        "publish": "never" if verdict == "block" else "after_approval" if needs_decision else "now",
        "needs_decision": needs_decision,
        "approval": settings.approval,
        "checks": [finding.as_json() for finding in findings],
    }


def checks(night: Night, drift: tuple[DriftVerdict, ...] | Absent, champion: dict[str, Any] | None) -> tuple[Finding, ...]:
    """Every check, from the files that the steps before left."""
    run, config, settings = night.folder, night.config, night.config.gate
    model = config.recommend.model
    verdicts = read_json(run / "contracts" / "verdicts.json") or []
    metrics = pl.read_parquet(run / "evaluation" / "metrics.parquet")
    lists = pl.read_parquet(run / "recommendations.parquet", columns=["customer_id", "asset_id"])
    customers = pl.read_parquet(run / "histories" / "present" / "customers.parquet")
    items = pl.scan_parquet(run / "histories" / "present" / "items.parquet").select(pl.len()).collect().item()
    previous = night.previous()
    changes = None
    if previous is not None:
        before = pl.read_parquet(previous / "recommendations.parquet", columns=["customer_id", "asset_id"])
        changes = offer.list_changes(lists, before)
    return (
        offer.recheck(read_json(run / "recommendations" / "recheck.json"), lists.height, settings),
        data.rows_conserved(verdicts, settings),
        data.contract_verdicts(verdicts, settings),
        data.made_tables(made_verdicts(run), lists.height, settings),
        data.drifted_tables(drift, config.drift.drift_share, settings),
        accuracy.against_champion(champion, settings),
        accuracy.against_popularity(metrics, model, settings),
        accuracy.against_ease(metrics, model, settings),
        explanation.ablation(_table(run / "audit" / "ablation.parquet"), model, settings),
        explanation.consistency(_table(run / "audit" / "consistency.parquet"), model, settings),
        explanation.faithfulness(
            read_json(run / "recommendations" / "faithfulness.json"),
            _table(run / "recommendations" / "faithfulness.parquet"),
            model,
            settings,
        ),
        fairness.by_accuracy(metrics, model, settings),
        fairness.by_served(customers, lists["customer_id"], settings),
        offer.served(customers, lists, settings),
        offer.removed_share(_removed(run), int(customers["has_profile"].sum()), items, settings),
        offer.turnover(changes, settings, "first publication of this preset and source in this home: no lists to compare with"),
    )


def read_json(path: Path) -> Any:
    """The file's content; None where it is absent."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def _table(path: Path) -> pl.DataFrame | None:
    return pl.read_parquet(path) if path.exists() else None


def _removed(run: Path) -> int:
    """Distinct pairs of a customer with a profile and an asset that some rule removed."""
    folder = run / "recommendations"
    known = pl.scan_parquet(run / "histories" / "present" / "customers.parquet").filter("has_profile").select("customer_id")
    everywhere = pl.read_parquet(folder / "asset_exclusions.parquet", columns=["asset_id"])["asset_id"].unique()
    personal = (
        pl.scan_parquet(folder / "exclusions.parquet")
        .with_columns(pl.col("customer_id", "asset_id").cast(pl.String))
        .filter(~pl.col("asset_id").is_in(everywhere.implode()))
        .join(known, on="customer_id", how="semi")
        .group_by("customer_id")
        .agg(pl.col("asset_id").n_unique())
        .select(pl.col("asset_id").sum())
    )
    customers = known.select(pl.len()).collect().item()
    return int(personal.collect().item() or 0) + len(everywhere) * int(customers)
