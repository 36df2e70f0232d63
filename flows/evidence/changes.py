"""What changed since the previous publication."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl

from flows.evidence.drift import FIRST
from flows.gate.offer import list_changes
from flows.json_files import read_json
from flows.night import Night
from reports.changes import Change, Changes
from reports.evidence import Absent
from reports.ranking import main_cutoff


def gather(night: Night) -> Changes | Absent:
    """Tonight beside the previous publication of the same preset and source."""
    before = night.previous()
    if before is None:
        return Absent(FIRST)
    run, manifest = night.folder, read_json(before / "manifest.json")
    then, now = (
        pl.read_parquet(folder / "recommendations.parquet", columns=["customer_id", "asset_id"]) for folder in (before, run)
    )
    settings = night.config.model_dump(mode="json", exclude={"source": {"path"}})
    customers = [set(frame["customer_id"].unique()) for frame in (then, now)]
    return Changes(
        since=before.name,
        counts=tuple(
            Change(label, then_, now_, note)
            for (label, then_, note), (_, now_, _) in zip(
                _counts(before, then, manifest["config"], manifest["as_of"]),
                _counts(run, now, settings, str(night.as_of)),
                strict=True,
            )
        ),
        settings=tuple(_settings(manifest["config"], settings)),
        distances=list_changes(now, then)["distance"].to_numpy(),
        joined=len(customers[1] - customers[0]),
        left=len(customers[0] - customers[1]),
    )


def _counts(run: Path, lists: pl.DataFrame, settings: dict[str, Any], as_of: str) -> list[tuple[str, str, str]]:
    """Label, value in words, note; the same labels for every run."""
    model = settings["recommend"]["model"]
    verdicts = read_json(run / "contracts" / "verdicts.json")
    metrics = pl.read_parquet(run / "evaluation" / "metrics.parquet").filter(
        (pl.col("segment_kind") == "all") & (pl.col("model") == model)
    )
    k = main_cutoff(metrics)
    trades = next((verdict["accepted"] for verdict in verdicts if verdict["table"] == "transactions"), None)
    return [
        ("As of", as_of, ""),
        ("Customers given recommendations", f"{lists['customer_id'].n_unique():,}", ""),
        ("Recommendations", f"{lists.height:,}", ""),
        ("Assets recommended to anybody", f"{lists['asset_id'].n_unique():,}", ""),
        ("Accepted trades", "–" if trades is None else f"{trades:,}", ""),
        ("Rows in quarantine", f"{sum(verdict['quarantined'] for verdict in verdicts):,}", "all tables"),
        ("Published model", model, ""),
        (
            f"Its accuracy (NDCG@{k})",
            f"{metrics[f'ndcg_at_{k}'][0]:.4f}" if metrics.height else "–",
            "not the same customers: a difference here proves nothing",
        ),
    ]


def _settings(before: dict[str, Any], now: dict[str, Any]) -> list[Change]:
    one, other = _flat(before), _flat(now)
    return [
        Change(name, one.get(name, "–"), other.get(name, "–"))
        for name in sorted(one.keys() | other.keys())
        if one.get(name) != other.get(name)
    ]


def _flat(settings: dict[str, Any]) -> dict[str, str]:
    rows: dict[str, str] = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            rows |= {f"{name}.{field}": _plain(entry) for field, entry in value.items()}
        else:
            rows[name] = _plain(value)
    return rows


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
