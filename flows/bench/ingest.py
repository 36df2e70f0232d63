"""``nightfolio bench ingest``: what ingest, contracts and histories cost at any size, beside the bare engines.

Every contestant works on the same delivery in a process of its own, one after the other, so that peak memory is its own.
The bare engines read six columns of the trades, sort them by customer and day, write them, and sum them up by pair of
customer and asset: a floor, since they check nothing, know no dates and hash no file. ``night`` are the three steps of the
flow with the hashes its tasks take; importing libraries (a few seconds, once a night) is told apart. A delivery's files
are in the page cache for all alike: it is read once before.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from data_contracts.errors import NightfolioError
from flows.bench.ingest_data import add_a_day, make_delivery

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
DUCKDB = ROOT / ".venv-peers-duckdb" / "bin" / "python"
WHO = {"night": "nightfolio", "polars": "bare Polars", "duckdb": "bare DuckDB"}
GIB = 2.0**30

Report = dict[str, Any]


def bench_ingest(
    sizes: Sequence[int],
    out: Path,
    *,
    contestants: Sequence[str] = tuple(WHO),
    incremental: bool = True,
    seed: int = 0,
    threads: int = 2,
    say: Callable[[str], None] = print,
) -> Path:
    """Measures every size and prints the table; writes ``out``/ingest.json and returns its path.

    Raises NightfolioError where a process fails, or where an incremental night differs from a full one.
    """
    asked = [one for one in contestants if one != "duckdb" or DUCKDB.exists()]
    if len(asked) < len(contestants):
        say("NOT MEASURED: DuckDB is not installed; `make bench-peers` installs it")
    measured: dict[int, dict[str, Report]] = {}
    for size in sizes:
        folder = out / "deliveries" / f"{size}"
        delivery = make_delivery(folder, size, seed)
        for file in folder.rglob("*.parquet"):
            file.read_bytes()
        measured[size] = {}
        shutil.rmtree(out / "homes" / f"{size}", ignore_errors=True)  # what an earlier call kept there would be re-used
        for who in asked:
            try:
                report = _run(who, folder, delivery.last_day, out / "runs" / who, out / "homes" / f"{size}", threads)
            except NightfolioError as error:
                if who == "night":
                    raise
                say(f"NOT MEASURED: {error.message}")  # a bare engine may want more memory than there is
                continue
            measured[size][who] = report
            stages = ", ".join(f"{name} {stage['seconds']:.1f} s" for name, stage in report["stages"].items())
            say(f"{size:,} trades, {WHO[who]}: {stages}; peak {_peak(report):.2f} GiB")
        if incremental and "night" in asked:
            measured[size]["one day more"] = _one_day_more(folder, out, size, threads)
    for line in table(measured):
        say(line)
    path = out / "ingest.json"
    path.write_text(json.dumps({str(size): reports for size, reports in measured.items()}, indent=1) + "\n", encoding="utf-8")
    return path


def _run(
    who: str, delivery: Path, as_of: str, out: Path, home: Path, threads: int, settings: Mapping[str, Any] | None = None
) -> Report:
    request = out.with_suffix(".json")
    request.parent.mkdir(parents=True, exist_ok=True)
    report = out.with_suffix(".report.json")
    report.unlink(missing_ok=True)
    asked = {
        "delivery": str(delivery.resolve()),
        "as_of": as_of,
        "out": str(out.resolve()),
        "home": str(home.resolve()),
        "report": str(report.resolve()),
        "threads": threads,
        "settings": dict(settings or {}),
    }
    request.write_text(json.dumps(asked), encoding="utf-8")
    command = (
        [str(DUCKDB), str(HERE / "peers" / "duckdb_ingest.py"), str(request)]
        if who == "duckdb"
        else [sys.executable, "-m", "flows.bench.ingest_run", who, str(request)]
    )
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=_environment(threads))
    if ended.returncode != 0 or not report.exists():
        raise NightfolioError(
            f"{WHO[who]} ended with {ended.returncode} on {delivery.name} trades: {ended.stderr.strip()[-500:]}",
            remedy="a code of -9 means that memory ran out: take a smaller size",
        )
    found: Report = json.loads(report.read_text(encoding="utf-8"))
    return found


def _environment(threads: int) -> dict[str, str]:
    return {**os.environ, "POLARS_MAX_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}


def _one_day_more(folder: Path, out: Path, size: int, threads: int) -> Report:
    """A night a day later that re-uses the partitions of the night before, against the same night without them."""
    later = out / "deliveries" / f"{size}-one-day-more"
    as_of = str(add_a_day(folder, later))
    home, runs = out / "homes" / f"{size}", out / "runs"
    incremental = _run("night", later, as_of, runs / "incremental", home, threads)
    full = _run("night", later, as_of, runs / "full", home, threads, {"contracts.reuse": False})
    if incremental["result"] != full["result"]:
        raise NightfolioError(
            f"{size:,} trades: the incremental night's result differs from the full one's",
            remedy="set contracts.reuse to false and report this: it is a defect of Nightfolio",
        )
    return {"stages": incremental["stages"], "full": full["stages"], "result": full["result"]}


def _seconds(report: Report, stages: str = "stages", of: str = "seconds") -> float:
    return math.fsum(stage[of] for name, stage in report[stages].items() if name != "start")


def _peak(report: Report) -> float:
    return max(float(stage["peak_bytes"]) for stage in report["stages"].values()) / GIB


def table(measured: Mapping[int, Mapping[str, Report]]) -> list[str]:
    """The lines of the table: seconds, peak GiB, ratios to the bare engines; the exponents of growth; the day more.

    CPU seconds are those of all cores together: on a machine that others use too they say more than the clock.
    """
    ratio = f"{'x Polars':>9} {'CPU':>6} {'x DuckDB':>9} {'CPU':>6}"
    lines = [f"{'trades':>12}  {'who':<12} {'seconds':>8} {'CPU s':>8} {'peak GiB':>9} {ratio}"]
    for size, reports in measured.items():
        for who, name in WHO.items():
            if who in reports:
                ratios = [
                    f"{_seconds(reports[who], of=of) / _seconds(reports[bare], of=of):.2f}" if bare in reports else ""
                    for bare in ("polars", "duckdb")
                    for of in ("seconds", "cpu_seconds")
                ]
                lines.append(
                    f"{size:>12,}  {name:<12} {_seconds(reports[who]):>8.1f} {_seconds(reports[who], of='cpu_seconds'):>8.1f} "
                    f"{_peak(reports[who]):>9.2f} {ratios[0]:>9} {ratios[1]:>6} {ratios[2]:>9} {ratios[3]:>6}"
                )
    sizes = sorted(measured)
    for smaller, larger in itertools.pairwise(sizes):
        for who, name in WHO.items():
            if who in measured[smaller] and who in measured[larger]:
                clock, cores = (
                    math.log(_seconds(measured[larger][who], of=of) / _seconds(measured[smaller][who], of=of))
                    / math.log(larger / smaller)
                    for of in ("seconds", "cpu_seconds")
                )
                lines.append(
                    f"{name}: seconds grow with trades to the power {clock:.2f} (CPU {cores:.2f}) from {smaller:,} to {larger:,}"
                )
    for size, reports in measured.items():
        if day := reports.get("one day more"):
            share = _seconds(day) / _seconds(day, "full")
            worked = _seconds(day, of="cpu_seconds") / _seconds(day, "full", "cpu_seconds")
            lines.append(
                f"{size:,} trades and one day more: {_seconds(day):.1f} s of the full night's {_seconds(day, 'full'):.1f} s "
                f"({share:.0%}; CPU {worked:.0%}), the same snapshot and histories to the byte"
            )
    return lines
