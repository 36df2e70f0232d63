"""Step: report. Gathers a run's tables into the Evidence bundle, measures drift, writes files and pages."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from flows import publish as publishing
from flows.artifact import file_sha256
from flows.config import RunConfig
from flows.night import Night
from flows.suitability import RULES
from lightning_modules.family import FAMILY
from reports.drift import drift_report
from reports.drift_columns import (
    HOLDINGS,
    RECOMMENDATIONS,
    TRADES,
    DriftColumn,
    DriftVerdict,
    feature_columns,
)
from reports.evidence import (
    Absent,
    AttentionEvidence,
    Check,
    Count,
    Evidence,
    Faithfulness,
    FileFact,
    Outcome,
    Protocol,
    RankingEvidence,
    RunFacts,
    Timing,
    TrainingEvidence,
    Verdict,
)
from reports.evidence_pack import write_evidence
from reports.ranking import EASE, POPULARITY

FIRST = "first publication of this preset and source in this home: nothing to compare with"
SAMPLE_CUSTOMERS = 8
HEATMAP_CUSTOMERS = 24


def pseudonyms(home: Path, customers: pl.Series) -> dict[str, str]:
    """Keyed pseudonym of each customer id (HMAC-SHA-256, 10 hex digits). The key stays in the home, out of every run."""
    path = home / "pseudonym.key"
    if not path.exists():
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as out:
            out.write(secrets.token_bytes(32))
    key = path.read_bytes()
    return {one: "c-" + hmac.new(key, one.encode(), hashlib.sha256).hexdigest()[:10] for one in customers.unique().to_list()}


def report(night: Night) -> Path:
    """Recommendation files, drift and ``evidence/``. Returns the evidence folder."""
    publishing.write_recommendation_files(night)
    pages = night.folder / "evidence"
    pages.mkdir(exist_ok=True)
    drift = _drift(night, pages)
    write_evidence(pages, gather(night, drift))
    return pages


def gather(night: Night, drift: tuple[DriftVerdict, ...] | Absent) -> Evidence:
    """The bundle that the pages are made of."""
    run, config = night.folder, night.config
    recommendations = pl.read_parquet(run / "recommendations.parquet")
    metrics = pl.read_parquet(run / "evaluation" / "metrics.parquet")
    proof = json.loads((run / "recommendations" / "faithfulness.json").read_text(encoding="utf-8"))
    verdicts = tuple(json.loads((run / "contracts" / "verdicts.json").read_text(encoding="utf-8")))
    customers = pl.read_parquet(run / "histories" / "present" / "customers.parquet")
    previous = night.previous()
    served = recommendations["customer_id"].n_unique()
    full = recommendations.group_by("customer_id").len().filter(pl.col("len") == config.recommend.k).height
    reconciliation = run / "snapshot" / "reconciliation.parquet"
    inputs = publishing.input_files(night)
    code = publishing.code_version()
    checks = _checks(config, metrics, verdicts, drift, proof)
    outcome: Outcome = "warn" if any(check.outcome != "pass" for check in checks) else "pass"
    return Evidence(
        verdict=Verdict(
            outcome,
            f"Published: {served:,} of {customers.height:,} customers were given recommendations, "
            f"{full:,} of them all {config.recommend.k}.",
            checks,
        ),
        run=RunFacts(
            run_id=night.run_id,
            as_of=night.as_of,
            started_at=night.started_at,
            source=f"simulated market, seed {config.simulation.seed}"
            if config.source.format == "simulated"
            else "landing files, named and hashed below",
            source_format=config.source.format,
            preset=config.preset,
            seed=config.seed,
            config_sha256=config.sha256(),
            code_version=code.get("git_commit", code["source_sha256"])[:12]
            + (" + changes" if "+" in code.get("git_commit", "") else ""),
            previous_run=previous.name if previous else Absent(FIRST),
        ),
        counts=(
            Count("customers", customers.height, "with a profile or a buy by as_of"),
            Count("customers served", served),
            Count("recommendations", recommendations.height),
            Count(
                "assets in the catalogue",
                pl.scan_parquet(run / "histories" / "present" / "items.parquet").select(pl.len()).collect().item(),
            ),
            Count("assets recommended", recommendations["asset_id"].n_unique()),
        ),
        ranking=RankingEvidence(_protocol(night, metrics), metrics, config.recommend.model, POPULARITY),
        sufficiency=pl.read_parquet(run / "evaluation" / "sufficiency.parquet"),
        contracts=verdicts,
        reconciliation=pl.read_parquet(reconciliation).group_by("kind").agg(pairs=pl.len().cast(pl.Int64)).sort("kind")
        if reconciliation.exists()
        else Absent("the source delivers no holdings, so the derived ones have nothing to be reconciled with"),
        recommendations=_sample(night, recommendations, customers),
        exclusions=_exclusions(run, customers.height),
        attention=_attention(night, config),
        faithfulness=(_faithfulness(config, proof),) if proof.get("n_pairs") else Absent(_why_no_attention(config)),
        training=tuple(
            TrainingEvidence(folder.name, pl.read_parquet(folder / "training.parquet"), _training_facts(config))
            for folder in sorted((run / "models").iterdir())
        ),
        drift=drift,
        regimes=pl.read_parquet(run / "histories" / "present" / "regime.parquet"),
        files=tuple(FileFact("input", file["name"], file["bytes"], file["sha256"], file["rows"]) for file in inputs)
        + tuple(_output(run, name) for name in ("recommendations.parquet", "recommendations.csv")),
        timings=tuple(Timing(step["step"], step["seconds"], step["peak_mib"]) for step in publishing.steps(night)),
        config=config.facts(),
        packages=tuple(publishing.package_versions().items()),
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
            else _why_no_attention(config),
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


def _sample(night: Night, recommendations: pl.DataFrame, customers: pl.DataFrame) -> pl.DataFrame:
    active = customers.filter(pl.col("n_buys") >= 3)["customer_id"]
    served = recommendations["customer_id"].unique().sort()
    pool = served.filter(served.is_in(active.implode())) if len(active) else served
    chosen = (
        (pool if len(pool) else served).sample(min(SAMPLE_CUSTOMERS, len(pool) or len(served)), seed=night.config.seed).sort()
    )
    rows = recommendations.filter(pl.col("customer_id").is_in(chosen.implode()) & (pl.col("rank") <= 3))
    names = pseudonyms(night.home, rows["customer_id"])
    return rows.select(
        pl.col("customer_id").replace_strict(names, return_dtype=pl.String).alias("customer"),
        pl.col("rank").cast(pl.Int64),
        "asset_id",
        "asset_name",
        pl.col("score").cast(pl.Float64),
        "reason",
        profile=pl.col("risk_level") + pl.when(pl.col("risk_predicted")).then(pl.lit(" (predicted)")).otherwise(pl.lit("")),
    )


def _exclusions(run: Path, customers: int) -> pl.DataFrame:
    counts = json.loads((run / "recommendations" / "exclusion_counts.json").read_text(encoding="utf-8"))
    assets = pl.read_parquet(run / "recommendations" / "asset_exclusions.parquet").group_by("rule_id").len()
    rows = [(rule, n * customers, customers) for rule, n in assets.iter_rows()]
    rows += [(rule, count["candidates"], count["customers"]) for rule, count in counts.items()]
    found = {rule: (candidates, touched) for rule, candidates, touched in rows}
    return pl.DataFrame(
        [(rule, RULES[rule], *found.get(rule, (0, 0))) for rule in RULES],
        schema={"rule_id": pl.String, "reason": pl.String, "candidates": pl.Int64, "customers": pl.Int64},
        orient="row",
    )


def _attention(night: Night, config: RunConfig) -> AttentionEvidence | Absent:
    run = night.folder
    attention = pl.scan_parquet(run / "recommendations" / "attention.parquet")
    customers = (
        pl.scan_parquet(run / "histories" / "present" / "customers.parquet")
        .select("customer_id", "n_buys")
        .with_row_index("customer")
    )
    items = (
        pl.scan_parquet(run / "histories" / "present" / "items.parquet")
        .select("asset_id", "asset_name")
        .with_row_index("item", offset=1)
    )
    several = attention.select("customer").unique().collect()["customer"].sort()
    lengths = customers.collect().filter(pl.col("n_buys").is_between(3, 12))["customer"].cast(several.dtype)
    pool = several.filter(several.is_in(lengths.implode()))
    pool = pool if len(pool) else several
    if pool.is_empty():
        return Absent(_why_no_attention(config))
    chosen = pool.sample(min(HEATMAP_CUSTOMERS, len(pool)), seed=config.seed).sort()
    rows = (
        attention.filter(pl.col("customer").is_in(chosen.implode()))
        .with_columns(pl.col("customer", "item", "candidate").cast(pl.UInt32))
        .join(customers, on="customer")
        .join(items, on="item")
        .join(
            items.select(pl.col("item").alias("candidate"), pl.col("asset_name").alias("candidate_name")),
            on="candidate",
        )
        .sort("customer", "candidate", "item")
        .collect()
    )
    names = pseudonyms(night.home, rows["customer_id"])
    return AttentionEvidence(
        config.recommend.model,
        rows.select(
            pl.col("customer_id").replace_strict(names, return_dtype=pl.String).alias("customer"),
            pl.col("asset_name").alias("holding"),
            pl.col("weight").cast(pl.Float64),
            pl.col("candidate_name").alias("candidate"),
        ),
    )


def _why_no_attention(config: RunConfig) -> str:
    if FAMILY[config.recommend.model].speaks == "none":
        return f"the published model ({config.recommend.model}) does not look at single purchases of a customer"
    return "no customer has a history, so no attention was measured"


def _faithfulness(config: RunConfig, proof: dict[str, Any]) -> Faithfulness:
    return Faithfulness(
        model=config.recommend.model,
        n=proof["n_pairs"],
        drop_attended=proof["mean_drop_attended"],
        drop_random=proof["mean_drop_random"],
        difference=proof["mean_difference"],
        difference_low=proof["ci_low"],
        difference_high=proof["ci_high"],
        share_attended_larger=proof["share_attended_larger"],
        better_than_random=proof["better_than_random"],
        protocol=f"Recommendations of {proof['n_customers']:,} served customers with at least two holdings (seeded sample), "
        "scored again with one holding erased; the drop is in log-probability over the catalogue (nats); "
        "95 % bootstrap over customers.",
    )


def _training_facts(config: RunConfig) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in config.facts() if name.startswith(("train.", "model."))) + (
        ("seed", str(config.seed)),
    )


def _output(run: Path, name: str) -> FileFact:
    path = run / name
    rows = pl.scan_parquet(path.with_suffix(".parquet")).select(pl.len()).collect().item()
    return FileFact("output", name, path.stat().st_size, file_sha256(path), rows)


def _drift(night: Night, pages: Path) -> tuple[DriftVerdict, ...] | Absent:
    previous = night.previous()
    if previous is None:
        return Absent(FIRST)
    verdicts = []
    for name, columns in (
        ("trades", TRADES),
        ("holdings", HOLDINGS),
        ("features", None),
        ("recommendations", RECOMMENDATIONS),
    ):
        current = _watched(name, night.folder, night.as_of)
        watched: tuple[DriftColumn, ...] = columns or feature_columns(
            tuple(column for column in current.columns if column != "asset_id")
        )
        before = json.loads((previous / "manifest.json").read_text(encoding="utf-8"))
        reference = _watched(name, previous, date.fromisoformat(before["as_of"]))
        settings = night.config.drift
        verdicts.append(
            drift_report(
                name,
                reference,
                current,
                watched,
                drift_share=settings.drift_share,
                sample=settings.sample,
                seed=night.config.seed,
                html=pages / f"drift_{name}.html",
            )
        )
    return tuple(verdicts)


def _watched(name: str, run: Path, as_of: date) -> pl.DataFrame:
    """The columns of one table of a run that drift is measured on."""
    items = pl.scan_parquet(run / "histories" / "present" / "items.parquet")
    classes = items.select("asset_id", "asset_class")
    if name == "trades":
        return (
            pl.scan_parquet(run / "snapshot" / "transactions.parquet")
            .join(classes, on="asset_id", how="left", maintain_order="left")
            .select(
                "side",
                "asset_class",
                "channel",
                "record_kind",
                value_known=pl.col("value").is_not_null().cast(pl.String),
                log_value=pl.col("value").log1p(),
                days_before_as_of=(pl.lit(as_of) - pl.col("date")).dt.total_days(),
            )
            .collect()
        )
    if name == "holdings":
        return (
            pl.scan_parquet(run / "snapshot" / "holdings.parquet")
            .join(classes, on="asset_id", how="left", maintain_order="left")
            .select(
                "status",
                "asset_class",
                "n_buys",
                units_known=pl.col("units").is_not_null().cast(pl.String),
                log_last_value=pl.col("last_value").clip(0).log1p(),
            )
            .collect()
        )
    if name == "features":
        return items.select("^(volatility|momentum_.*|buyers_.*|dividend_yield)$").collect()
    return pl.read_parquet(run / "recommendations.parquet", columns=["asset_id", "asset_class", "sector", "score"])
