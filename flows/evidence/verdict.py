"""The verdict: what the gate decided, in one sentence, and every check it made."""

from __future__ import annotations

import json

import polars as pl

from flows.gate.finding import as_check
from flows.night import Night
from reports.evidence import Verdict


def gather(night: Night) -> Verdict:
    """What ``gate.json`` says."""
    gate = json.loads((night.folder / "gate.json").read_text(encoding="utf-8"))
    current = night.store.current()
    return Verdict(
        gate["verdict"],
        _headline(night),
        tuple(as_check(line) for line in gate["checks"]),
        gate["publish"],
        "" if current is None else current.name,
    )


def _headline(night: Night) -> str:
    run, k = night.folder, night.config.recommend.k
    lists = pl.read_parquet(run / "recommendations.parquet", columns=["customer_id"])["customer_id"].value_counts()
    customers = pl.scan_parquet(run / "histories" / "present" / "customers.parquet").select(pl.len()).collect().item()
    full = lists.filter(pl.col("count") == k).height
    return f"{lists.height:,} of {customers:,} customers were given recommendations, {full:,} of them all {k}."
