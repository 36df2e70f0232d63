"""``nightfolio bench contracts``: ways to run a contract under Great Expectations, each in a process of its own.

All check the trades of one delivery against the contract's rules on single rows, and count the same bad rows. The searches
(repeats, references, prices) find their rows in Polars whatever the engine, and are left out.

* ``pandas``: the library's own expectations, the pandas engine with Arrow types, on the whole table at once;
* ``pandas chunks``: the same on 500,000 rows at a time, results added up. For both, rules that the library has no fast
  expectation for are worked out by Polars and handed over as a column of booleans;
* ``polars``: the product's: custom expectations, whose metric is one streaming pass of Polars over the file, and the
  library's own on a stretch of 100,000 rows.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, Final

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.errors import NightfolioError
from flows.bench.ingest_data import make_delivery
from flows.bench.ingest_run import Clock

ENGINES: Final = ("pandas", "pandas chunks", "polars")
CHUNK_ROWS: Final = 500_000
GIB = 2.0**30


def bench_engines(sizes: Sequence[int], out: Path, *, seed: int = 0, say: Callable[[str], None] = print) -> Path:
    """Prints and writes (``out``/engines.json) seconds and peak memory of each engine. Raises NightfolioError."""
    measured: dict[str, dict[str, Any]] = {}
    say(f"{'trades':>12}  {'engine':<14} {'seconds':>8} {'s per million':>14} {'peak GiB':>9}  rules, bad rows")
    for size in sizes:
        delivery = make_delivery(out / "deliveries" / f"{size}", size, seed)
        landed = _land(out / "deliveries" / f"{size}", out / "landed", delivery.last_day)
        for engine in ENGINES:
            report = _run(engine, landed, delivery.last_day, out)
            measured.setdefault(str(size), {})[engine] = report
            seconds, peak = report["check"]["seconds"], report["check"]["peak_bytes"] / GIB
            say(
                f"{size:>12,}  {engine:<14} {seconds:>8.2f} {seconds / size * 1e6:>14.2f} {peak:>9.2f}  "
                f"{len(report['failed'])} rules, {sum(report['failed'].values()):,} bad rows"
            )
        counts = {json.dumps(report["failed"], sort_keys=True) for report in measured[str(size)].values()}
        if len(counts) > 1:
            raise NightfolioError(f"the engines count differently: {counts}", remedy="this is a defect of Nightfolio: report it")
        shutil.rmtree(out / "landed")
    path = out / "engines.json"
    path.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    return path


def _land(delivery: Path, into: Path, as_of: str) -> Path:
    from data_contracts.landing import read_landing

    return read_landing("nightfolio", delivery, into, date.fromisoformat(as_of), "block")["transactions"].path


def _run(engine: str, landed: Path, as_of: str, out: Path) -> dict[str, Any]:
    report = out / "engine.json"
    command = [sys.executable, "-m", "flows.bench.ingest_engines", engine, str(landed), as_of, str(report)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    if ended.returncode != 0:
        raise NightfolioError(
            f"{engine} ended with {ended.returncode}: {ended.stderr.strip()[-300:]}", remedy="take fewer trades"
        )
    found: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    return found


def check(engine: str, landed: Path, as_of: date, scratch: Path) -> dict[str, Any]:
    """One engine on one landed table: seconds and peak of the check, and bad rows per rule."""
    from data_contracts import transactions
    from data_contracts.checkpoint import landed_rows
    from data_contracts.contract import AS_OF, ROW
    from data_contracts.expectations import columns_of, count_failures, library
    from data_contracts.flagged import FlaggedTable
    from data_contracts.suites import validate_table

    library()
    contract = transactions.CONTRACT
    contract = replace(contract, rules=tuple(rule for rule in contract.rules if rule.bad is not None))
    rows = landed_rows(contract, landed).with_columns(pl.lit(as_of).alias(AS_OF)).with_row_index(ROW)
    table = FlaggedTable(contract, rows, {}, as_of)
    clock = Clock()
    with clock.stage("check"):
        if engine == "polars":
            failed: Mapping[str, int] = validate_table(table, scratch.with_suffix(".gx.json")).failed
        else:
            native = {rule.rule_id: rule.expectation for rule in contract.rules if rule.expectation is not None}
            needed = sorted({name for expectation in native.values() for name in columns_of(expectation)})
            flagged = scratch.with_suffix(".parquet")
            table.frame.select(needed).sink_parquet(flagged)
            frames = _chunks(flagged) if engine == "pandas chunks" else iter([pq.read_table(flagged)])
            failed = {rule_id: counted.failed for rule_id, counted in count_failures("trades", native, frames).items()}
            flagged.unlink()
    return {"check": clock.stages["check"], "failed": dict(failed)}


def _chunks(path: Path) -> Iterator[pa.Table]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=CHUNK_ROWS):
            yield pa.Table.from_batches([batch])


if __name__ == "__main__":
    engine_, landed_, as_of_, report_ = sys.argv[1:]
    answer = check(engine_, Path(landed_), date.fromisoformat(as_of_), Path(report_))
    Path(report_).write_text(json.dumps(answer), encoding="utf-8")
