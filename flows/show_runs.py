"""What the command line prints about runs. Reads finished files only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import BaseModel
from rich.console import Console
from rich.markup import escape

from data_contracts.errors import RunNotFound
from flows.json_files import read_json, read_json_if
from flows.records import tell
from flows.resume import COMMANDS, kind_of
from flows.run_store import RunStore
from flows.show_audit import print_audit
from flows.show_table import new_table
from reports import sufficiency
from reports.ranking import POPULARITY, main_cutoff


def print_night(console: Console, run: Path) -> None:
    """What a finished night says: as_of, counts, headline metrics, where the files are."""
    manifest = read_json(run / "manifest.json")
    rows = pl.scan_parquet(run / "recommendations.parquet").select("customer_id").collect()
    counts = rows.group_by("customer_id").len()
    least, most = counts.select(pl.col("len").min(), pl.col("len").max().alias("most")).row(0)
    spread = f"{least} to {most}" if counts.height else "0"
    console.print(f"\n[bold]Nightfolio {manifest['run_id']}[/]   as of {manifest['as_of']}")
    known = pl.scan_parquet(run / "histories" / "present" / "customers.parquet").select("has_profile").collect()
    console.print(f"{counts.height:,} of {known.height:,} customers got {rows.height:,} recommendations ({spread} each)")
    unprofiled = known.height - int(known["has_profile"].sum())
    if unprofiled:
        console.print(f"{unprofiled:,} customers have no accepted profile and were offered nothing")
    console.print()
    print_metrics(console, run)
    for label, name in (
        ("recommendations", "recommendations.csv"),
        ("", "recommendations.parquet"),
        ("evidence", "evidence/index.html"),
    ):
        console.print(f"{label:<16}{run / name}", soft_wrap=True)


def print_metrics(console: Console, run: Path, segments: bool = False) -> None:
    """Metrics of every model, with the protocol above them."""
    path = run / "evaluation" / "metrics.parquet"
    if not path.exists():
        raise RunNotFound(
            f"run {run.name} has no metrics: it stopped before the evaluation",
            remedy=f"`nightfolio show {run.name}` says why",
        )
    metrics = pl.read_parquet(path)
    k = main_cutoff(metrics)
    manifest = read_json(run / "manifest.json")
    everyone = metrics.filter(pl.col("segment_kind") == "all")
    console.print(
        f"trained to {manifest['evaluation_cut']}, scored on first buys after it up to {manifest['as_of']}; "
        "full catalogue less what was bought before, "
        f"no sampled negatives; {everyone['n_customers'][0]:,} customers, {everyone['n_relevant'][0]:,} relevant pairs",
        style="dim",
    )
    table = new_table(
        "<model",
        *(["<segment"] if segments else []),
        "customers",
        f"NDCG@{k}",
        "95 % interval",
        f"hit@{k}",
        "AUC",
        "coverage",
        "gain over popularity",
        "gain over EASE",
    )
    for row in (metrics if segments else everyone).iter_rows(named=True):
        name = "all" if row["segment_kind"] == "all" else f"{row['segment_kind']} {row['segment']}"
        table.add_row(
            row["model"],
            *([name] if segments else []),
            f"{row['n_customers']:,}",
            f"{row[f'ndcg_at_{k}']:.4f}",
            escape(_interval(row[f"ndcg_at_{k}_low"], row[f"ndcg_at_{k}_high"], ".4f").strip()),
            f"{row[f'hit_at_{k}']:.3f}",
            "" if row["auc"] is None else f"{row['auc']:.3f}",
            f"{row[f'coverage_at_{k}']:.2f}",
            escape(_gain(row, "ndcg_gain")),
            escape(_gain(row, "ease_gain")),
        )
    console.print(table)
    for row in everyone.filter(pl.col("model") != POPULARITY).iter_rows(named=True):
        if row.get("ease_gain") is not None and not (row["ease_gain_low"] or 0) > 0:
            console.print(f"{row['model']} does not beat EASE: the paired interval is not above 0", style="yellow")
    path = run / "evaluation" / "sufficiency.parquet"
    if path.exists() and not segments:
        console.print(sufficiency.sentence(pl.read_parquet(path)), style="dim", soft_wrap=True)
    console.print()


def print_sufficiency(console: Console, run: Path) -> None:
    """Interactions per customer by band against what is needed, and each model's accuracy there."""
    path = run / "evaluation" / "sufficiency.parquet"
    if not path.exists():
        return  # a run of an earlier version
    bands, metrics = pl.read_parquet(path), pl.read_parquet(run / "evaluation" / "metrics.parquet")
    k = main_cutoff(metrics)
    models = metrics["model"].unique(maintain_order=True).to_list()
    console.print(f"{sufficiency.sentence(bands)}; NDCG@{k} by band:", style="dim", soft_wrap=True)
    table = new_table("<interactions", "<level", "customers", "share", "asked", *models)
    for row in sufficiency.accuracy_by_band(bands, metrics, k).iter_rows(named=True):
        table.add_row(
            row["band"],
            row["level"],
            f"{row['customers']:,}",
            f"{row['share']:.1%}",
            f"{row['scored']:,}",
            *("" if row[model] is None else f"{row[model]:.4f}" for model in models),
        )
    console.print(table)
    console.print()


def _gain(row: dict[str, Any], column: str) -> str:
    if row.get(column) is None:
        return ""
    return f"{row[column]:+.4f}" + _interval(row[f"{column}_low"], row[f"{column}_high"], "+.4f")


def _interval(low: float | None, high: float | None, form: str) -> str:
    return "" if low is None or high is None else f" [{low:{form}}, {high:{form}}]"


def print_runs(console: Console, store: RunStore) -> None:
    """One line a run, newest last."""
    entries = store.runs()
    if not entries:
        console.print(f"no run yet under {store.home}; `nightfolio nightly` makes one", soft_wrap=True)
        return
    table = new_table("<run", "<state", "<model", "NDCG", "recommendations", "<note")
    known = tell.standings_of(store)
    for entry in entries:
        model, ndcg, rows, note = "", "", "", "<- CURRENT" if entry.current else ""
        standing = known.get(entry.run_id)
        state = entry.state if standing is None else standing.state
        if (entry.path / "failure.json").exists():
            failure = read_json(entry.path / "failure.json")
            note = f"stopped at {failure['step']}: {failure['error'].splitlines()[0]}"
        elif (entry.path / "manifest.json").exists():
            manifest = read_json(entry.path / "manifest.json")
            model = manifest["config"]["recommend"]["model"]
            if manifest["kind"] == "ablation":
                table.add_row(entry.run_id, entry.state, model, "", "", "ablation")
                continue
            metrics = pl.read_parquet(entry.path / "evaluation" / "metrics.parquet").filter(
                (pl.col("segment_kind") == "all") & (pl.col("model") == model)
            )
            ndcg = f"{metrics[f'ndcg_at_{main_cutoff(metrics)}'][0]:.4f}" if metrics.height else ""
            if entry.state == "published":
                rows = f"{pl.scan_parquet(entry.path / 'recommendations.parquet').select(pl.len()).collect().item():,}"
            note += ("  " if note else "") + ("" if standing is None else tell.note(standing))
        table.add_row(entry.run_id, state, model, ndcg, rows, escape(note))
    console.print(table)


def print_run(console: Console, run: Path) -> None:
    """Everything worth knowing about one run on one screen."""
    if (run / "failure.json").exists():
        failure = read_json(run / "failure.json")
        console.print(
            f"[bold red]{run.name} failed[/] at {failure['step']}\n{escape(failure['error'])}\n"
            f"  remedy: {escape(failure['remedy'])}",
            soft_wrap=True,
        )
        kind = kind_of(run)
        if kind:
            console.print(f"  go on with it: nightfolio {COMMANDS[kind]} --resume {run.name}", soft_wrap=True)
        if (run / "contracts" / "verdicts.json").exists():
            _print_contracts(console, run)
        return
    if not (run / "manifest.json").exists():
        raise RunNotFound(f"run {run.name} is still in the making", remedy="wait for it to end")
    manifest = read_json(run / "manifest.json")
    if manifest["kind"] == "night":
        print_night(console, run)
        tell.print_standing(console, run)
    elif manifest["kind"] == "training":
        print_metrics(console, run)
    print_sufficiency(console, run)
    print_audit(console, run)
    _print_contracts(console, run)
    steps = new_table("<step", "seconds", "peak MiB")
    for line in (run / "steps.jsonl").read_text(encoding="utf-8").splitlines():
        step = json.loads(line)
        steps.add_row(step["step"], f"{step['seconds']:.1f}", f"{step['peak_mib']:.0f}")
    console.print(steps)
    console.print(
        f"\nsettings {manifest['config_sha256'][:12]}  "
        f"code {manifest['code'].get('git_commit', manifest['code']['source_sha256'])[:12]}  "
        f"{len(manifest['inputs'])} input files, {len(manifest['outputs'])} output files, hashed in {run / 'manifest.json'}",
        soft_wrap=True,
    )


def _print_contracts(console: Console, run: Path) -> None:
    table = new_table("<table", "landed", "withheld", "read", "accepted", "quarantined", "<rules that caught something")
    for verdict in [*read_json(run / "contracts" / "verdicts.json"), *(read_json_if(run / "contracts" / "made.json") or [])]:
        caught = ", ".join(
            f"{rule['rule_id']} {rule['failed']:,} ({rule['outcome']})" for rule in verdict["rules"] if rule["outcome"] != "pass"
        )
        counts = (f"{verdict[name]:,}" for name in ("landed", "withheld", "read", "accepted", "quarantined"))
        table.add_row(verdict["table"], *counts, caught)
    console.print(table)
    console.print()


def print_settings(console: Console, model: type[BaseModel], prefix: str = "") -> None:
    """Every field: name, type and bounds, default, meaning."""
    if not prefix:
        console.print("section.field  (type and bounds)  default  meaning\n", style="dim")
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            print_settings(console, field.annotation, f"{prefix}{name}.")
            continue
        bounds = ", ".join(str(bound).replace("annotated_types.", "") for bound in field.metadata)
        kind = str(field.annotation).replace("typing.", "").replace("<class '", "").replace("'>", "")
        default = field.get_default(call_default_factory=True)
        console.print(
            f"[bold]{prefix}{name}[/]  {escape(f'({kind}; {bounds})' if bounds else f'({kind})')}  "
            f"{escape(str(default))}  [dim]{escape(field.description or '')}[/]",
            soft_wrap=True,
        )
