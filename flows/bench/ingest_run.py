"""One process of ``nightfolio bench ingest``: ``python -m flows.bench.ingest_run WHO REQUEST.json``.

WHO is ``night`` (ingest, contracts and histories, by the steps of the flow, with the hashes that its tasks take) or
``polars`` (the bare engine). The request says ``delivery`` (folder), ``as_of``, ``out`` (folder, emptied first), ``home``
and ``reuse``; the answer goes to ``report``: seconds by the clock and of all cores,
and peak resident memory (bytes), of each stage, and a hash of the result.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from flows.peak_memory import forget_peak, peak_bytes

STAGES = ("ingest", "contracts", "histories")


class Clock:
    """Seconds by the clock and of all cores, and peak memory, of named stages."""

    def __init__(self) -> None:
        self.stages: dict[str, dict[str, float]] = {}

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        forget_peak()
        started, worked = time.perf_counter(), time.process_time()
        yield
        self.stages[name] = {
            "seconds": time.perf_counter() - started,
            "cpu_seconds": time.process_time() - worked,
            "peak_bytes": float(peak_bytes()),
        }


def run_night(request: dict[str, Any]) -> dict[str, Any]:
    """The three steps of the night, as its tasks call them."""
    from data_contracts.expectations import library
    from flows import ingest as landing
    from flows.artifact import Artifact, tree_sha256
    from flows.config import load_config
    from flows.histories import build_histories
    from flows.made_tables import check_holdings
    from flows.night import Night

    clock = Clock()
    with clock.stage("start"):
        library()
    out, as_of = Path(request["out"]), date.fromisoformat(request["as_of"])
    settings = {"source.format": "nightfolio", **request.get("settings", {})}
    config = load_config("default", source=Path(request["delivery"]), as_of=as_of, settings=settings)
    night = Night(f"{as_of}-01", out, as_of, config, Path(request["home"]), datetime.now(UTC))
    with clock.stage("ingest"):
        landed = Artifact.of(landing.ingest(night))
    with clock.stage("contracts"):
        checked = landing.check_contracts(night, landed.open())
        check_holdings(night)
        snapshot = Artifact.of(checked)
    with clock.stage("histories"):
        present = out / "histories" / "present"
        histories = Artifact.of(build_histories(snapshot.open(), as_of, config.histories, as_of, present, night.kept))
    return {"stages": clock.stages, "result": [snapshot.sha256, tree_sha256(histories.path)]}


def run_polars(request: dict[str, Any]) -> dict[str, Any]:
    """The floor: the six columns that histories and holdings need, sorted by customer and day, then grouped by pair."""
    import polars as pl

    clock = Clock()
    out = Path(request["out"])
    columns = ["customer_id", "asset_id", "side", "date", "value", "units"]
    with clock.stage("scan, sort, write"):
        trades = pl.scan_parquet(Path(request["delivery"]) / "transactions" / "*.parquet").select(columns)
        trades.sort("customer_id", "date").sink_parquet(out / "sorted.parquet")
    with clock.stage("group, write"):
        pairs = pl.scan_parquet(out / "sorted.parquet").group_by("customer_id", "asset_id")
        first, last = pl.col("date").min().alias("first"), pl.col("date").max().alias("last")
        pairs.agg(pl.col("units").sum(), pl.len().alias("trades"), first, last).sink_parquet(out / "pairs.parquet")
    return {"stages": clock.stages}


def main() -> None:
    who, path = sys.argv[1:]
    request = json.loads(Path(path).read_text(encoding="utf-8"))
    shutil.rmtree(request["out"], ignore_errors=True)
    Path(request["out"]).mkdir(parents=True)
    report = {"night": run_night, "polars": run_polars}[who](request)
    Path(request["report"]).write_text(json.dumps(report), encoding="utf-8")


if __name__ == "__main__":
    main()
