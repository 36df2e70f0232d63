"""Which run this is, and how much work it did."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from flows import publish as publishing
from flows.evidence.drift import FIRST
from flows.night import Night
from reports.evidence import Absent, Count, RunFacts


def gather(night: Night) -> RunFacts:
    """The facts of the run, without a path of the machine."""
    config, previous, code = night.config, night.previous(), publishing.code_version()
    return RunFacts(
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
    )


def counts(night: Night) -> tuple[Count, ...]:
    """How many customers and assets there were and how many were served."""
    present = night.folder / "histories" / "present"
    recommendations = pl.read_parquet(night.folder / "recommendations.parquet")
    return (
        Count("customers", rows_in(present / "customers.parquet"), "with a profile or a buy by as_of"),
        Count("customers served", recommendations["customer_id"].n_unique()),
        Count("recommendations", recommendations.height),
        Count("assets in the catalogue", rows_in(present / "items.parquet")),
        Count("assets recommended", recommendations["asset_id"].n_unique()),
    )


def rows_in(path: Path) -> int:
    """Rows of a Parquet file."""
    return int(pl.scan_parquet(path).select(pl.len()).collect().item())
