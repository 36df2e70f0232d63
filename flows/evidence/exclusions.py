"""How many candidates each rule removed, and how many rows it flagged."""

from __future__ import annotations

import json

import polars as pl

from flows.night import Night
from flows.sections.suitability import AnyRule


def gather(night: Night) -> pl.DataFrame:
    """Every rule: what it says, pairs and customers that it touched, rows it flagged, violations when it was asked again."""
    run = night.folder
    customers = pl.scan_parquet(run / "histories" / "present" / "customers.parquet").select(pl.len()).collect().item()
    counts = json.loads((run / "recommendations" / "exclusion_counts.json").read_text(encoding="utf-8"))
    assets = dict(pl.read_parquet(run / "recommendations" / "asset_exclusions.parquet").group_by("rule_id").len().iter_rows())
    again = json.loads((run / "recommendations" / "recheck.json").read_text(encoding="utf-8"))["rules"]
    rows = []
    for name, rule in night.config.suitability.rules.items():
        count, everyone = counts[name], int(assets.get(name, 0))
        removed = everyone * customers or count["candidates"]
        touched = customers if everyone else count["customers"]
        effect = rule.effect if rule.on else "off"
        rows.append(
            (name, rule.words, rule.source, effect, limits(rule), removed, touched, count["flagged"], again[name]["violations"])
        )
    return pl.DataFrame(
        rows,
        schema={
            "rule_id": pl.String,
            "reason": pl.String,
            "source": pl.String,
            "effect": pl.String,
            "limits": pl.String,
            "candidates": pl.Int64,
            "customers": pl.Int64,
            "flagged": pl.Int64,
            "violations": pl.Int64,
        },
        orient="row",
    )


def limits(rule: AnyRule) -> str:
    """What a rule is set to, on one line: ``share 0.5, valued_holdings 4``; empty tables are left out."""
    return ", ".join(f"{name} {_plain(value)}" for name, value in rule.limits().items() if value not in ({}, []))


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return (
            "("
            + ", ".join(f"{key} {entry:,g}" if isinstance(entry, float) else f"{key} {entry}" for key, entry in value.items())
            + ")"
        )
    if isinstance(value, list):
        return "(" + ", ".join(map(str, value)) + ")"
    return f"{value:,g}" if isinstance(value, float) else str(value)
