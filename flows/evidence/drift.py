"""How far the run's tables moved from those behind the previous publication."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import date
from pathlib import Path

import polars as pl

from flows.night import Night
from reports.drift import drift_report
from reports.drift_columns import HOLDINGS, RECOMMENDATIONS, TRADES, ColumnDrift, DriftColumn, DriftVerdict, feature_columns
from reports.evidence import Absent

FIRST = "first publication of this preset and source in this home: nothing to compare with"


def measure(night: Night) -> tuple[DriftVerdict, ...] | Absent:
    """Measures drift table by table; writes a page of each beside the index, and ``audit/drift.json``."""
    found = _measured(night)
    absent, tables = (found.reason, []) if isinstance(found, Absent) else ("", [asdict(verdict) for verdict in found])
    path = night.folder / "audit" / "drift.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"absent": absent, "tables": tables}, indent=2), encoding="utf-8")
    return found


def gather(night: Night) -> tuple[DriftVerdict, ...] | Absent:
    """What :func:`measure` found."""
    told = json.loads((night.folder / "audit" / "drift.json").read_text(encoding="utf-8"))
    if told["absent"]:
        return Absent(told["absent"])
    return tuple(
        DriftVerdict(**{**table, "columns": tuple(ColumnDrift(**column) for column in table["columns"])})
        for table in told["tables"]
    )


def _measured(night: Night) -> tuple[DriftVerdict, ...] | Absent:
    pages = night.folder / "evidence"
    pages.mkdir(exist_ok=True)
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
