"""A corruption tried on the real ingest and the real contracts, and what came of it."""

from __future__ import annotations

import shutil
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from data_contracts.checkpoint import CONTRACTS, CheckContext, check_landing
from data_contracts.contract import Contract
from data_contracts.corruptions.case import OUTCOMES, Corruption, Layout, Outcome
from data_contracts.corruptions.meanwhile import delivered_meanwhile
from data_contracts.corruptions.own_sample import write_own_sample
from data_contracts.corruptions.sample import AS_OF, write_sample
from data_contracts.errors import ContractBlocked, LandingError, NightfolioError
from data_contracts.landing import LandedTable, read_landing
from data_contracts.parts import part_files
from data_contracts.verdicts import TableVerdict, read_verdicts

WRITERS: Mapping[Layout, Callable[[Path], Path]] = {"far_trans": write_sample, "nightfolio": write_own_sample}
# What a table's rules look at besides the table itself.
REFERS_TO: Mapping[str, tuple[str, ...]] = {
    "markets": (),
    "assets": ("markets",),
    "customers": (),
    "prices": ("assets", "markets"),
    "transactions": ("assets", "customers", "markets", "prices", "delivered_holdings"),
    "delivered_holdings": ("assets", "customers", "markets", "prices", "transactions"),
    "restricted": ("assets", "markets"),
}


@dataclass(frozen=True)
class Clean:
    """The sound delivery after ingest and contracts: what every trial is compared with.

    ``partitions``: what its files became, kept for the trials as it is from night to night; None where nothing is kept.
    """

    run: Path
    landed: Mapping[str, LandedTable]
    verdicts: Mapping[str, TableVerdict]
    partitions: Path | None = None

    @property
    def accepted(self) -> dict[str, int]:
        return {table: verdict.accepted for table, verdict in self.verdicts.items()}


@dataclass(frozen=True)
class Finding:
    """One rule that did not pass."""

    table: str
    rule: str
    outcome: str
    count: int
    message: str
    remedy: str


@dataclass(frozen=True)
class Found:
    """What became of a spoilt delivery. ``crash``: the traceback of an error that was not made for people."""

    outcome: Outcome
    findings: tuple[Finding, ...]
    error: str
    crash: str
    notes: Mapping[str, tuple[str, ...]]
    accepted: Mapping[str, int]
    withheld: Mapping[str, int]
    conserved: bool
    same_rows: bool
    same_bytes: bool
    seconds: float


def clean_run(folder: Path, layout: Layout = "far_trans") -> Clean:
    """Ingest and contracts of the sound delivery, under ``folder``. Raises RuntimeError where a rule finds fault with it."""
    source = WRITERS[layout](folder / "sample")
    run = folder / "clean"
    partitions = folder / "partitions" if layout == "nightfolio" else None
    landed = read_landing(layout, source, run / "landed", AS_OF, "block", partitions=partitions)
    verdicts = {verdict.table: verdict for verdict in check_landing(landed, run, CheckContext.by_default(AS_OF))}
    faults = [rule.message for verdict in verdicts.values() for rule in verdict.rules if rule.outcome != "pass"]
    if faults:
        raise RuntimeError("the sound delivery is not sound: " + "; ".join(faults))
    return Clean(run, landed, verdicts, partitions)


def attempt(corruption: Corruption, clean: Clean, folder: Path, *, every_table: bool = False, ask_library: bool = True) -> Found:
    """Spoils a copy of the sound delivery in ``folder`` and takes it through ingest and contracts.

    A table whose landed file is to the byte that of the sound delivery, like all that its rules look at, gets the same
    verdict; unless ``every_table``, it is not asked for again. ``ask_library`` as in CheckContext.
    """
    started = time.perf_counter()
    source, run = WRITERS[corruption.layout](folder / "landing"), folder / "run"
    error, crash = "", ""
    verdicts: dict[str, TableVerdict] = {}
    landed: Mapping[str, LandedTable] = {}
    try:
        landed = _ingest(corruption, source, run, clean.partitions)
        verdicts = _check(landed, clean, run, every_table, ask_library, corruption.first)
    except ContractBlocked as stop:
        error = str(stop)
        verdicts = _written_verdicts(run)
    except NightfolioError as stop:
        error = str(stop) if isinstance(stop, LandingError) else ""
        crash = "" if error else traceback.format_exc()
    except BaseException as wrong:  # a panic of a library is no Exception
        if isinstance(wrong, KeyboardInterrupt):
            raise
        crash = traceback.format_exc()
    same_rows, same_bytes = _same(clean, run, verdicts)
    findings = tuple(
        Finding(table, rule.rule_id, rule.outcome, rule.failed, rule.message, rule.remedy)
        for table, verdict in verdicts.items()
        for rule in verdict.rules
        if rule.outcome != "pass"
    )
    return Found(
        outcome=_outcome(error, findings, verdicts, clean),
        findings=findings,
        error=error,
        crash=crash,
        notes={table: verdict.notes for table, verdict in verdicts.items()},
        accepted={table: verdicts[table].accepted if table in verdicts else n for table, n in clean.accepted.items()},
        withheld={table: verdict.withheld for table, verdict in verdicts.items()},
        conserved=_conserved(landed, run, verdicts),
        same_rows=same_rows,
        same_bytes=same_bytes,
        seconds=time.perf_counter() - started,
    )


def _ingest(corruption: Corruption, source: Path, run: Path, partitions: Path | None) -> dict[str, LandedTable]:
    def read(source: Path) -> dict[str, LandedTable]:
        return read_landing(corruption.layout, source, run / "landed", AS_OF, corruption.future_rows, partitions=partitions)

    if not corruption.while_read:
        corruption.spoil(source)
        return read(source)
    with delivered_meanwhile(source, corruption.spoil) as disturbed:
        return read(disturbed)


def _check(
    landed: Mapping[str, LandedTable], clean: Clean, run: Path, every_table: bool, ask_library: bool, first: bool
) -> dict[str, TableVerdict]:
    touched = {
        table
        for table in CONTRACTS
        if every_table or _bytes(landed.get(table)) != _bytes(clean.landed.get(table)) or _told(landed, clean, table)
    }
    asked = {table for table in landed if table in touched or touched & set(REFERS_TO[table])}
    (run / "snapshot").mkdir(parents=True, exist_ok=True)
    known = {table: run / "snapshot" / f"{table}.parquet" for table in landed if table not in asked}
    for table, path in known.items():
        sound = clean.run / "snapshot" / f"{table}.parquet"
        shutil.copytree(sound, path) if sound.is_dir() else shutil.copy(sound, path)
    columns = {table: verdict.source_columns for table, verdict in clean.verdicts.items()}
    # What was delivered and is not asked for again must not look as if it were gone.
    previous = {table: verdict.read for table, verdict in clean.verdicts.items() if table in asked or table not in landed}
    night = replace(CheckContext.by_default(AS_OF, known), ask_library=ask_library)
    if not first:
        accepted = {table: clean.run / "snapshot" / f"{table}.parquet" for table in clean.verdicts}
        night = replace(night, previous_rows=previous, previous_columns=columns, previous_tables=accepted)
    return {verdict.table: verdict for verdict in check_landing({t: landed[t] for t in asked}, run, night)}


def _told(landed: Mapping[str, LandedTable], clean: Clean, table: str) -> bool:
    """Whether the reader says of the table what it does not say of the sound one."""
    mine, theirs = landed.get(table), clean.landed.get(table)
    if mine is None or theirs is None:
        return mine is not theirs
    return any(getattr(mine, name) != getattr(theirs, name) for name in ("notes", "withheld", "columns", "unlike"))


def _bytes(table: LandedTable | None) -> bytes:
    return b"" if table is None else _content(table.path)


def _content(path: Path) -> bytes:
    """The bytes of a table's file, or of all its parts with their names."""
    if not path.is_dir():
        return path.read_bytes()
    return b"".join(part.name.encode() + b"\0" + part.read_bytes() for part in part_files(path))


def _written_verdicts(run: Path) -> dict[str, TableVerdict]:
    """The verdicts of a night that was stopped, read back from verdicts.json."""
    return {verdict.table: verdict for verdict in read_verdicts(run / "contracts" / "verdicts.json")}


def _outcome(error: str, findings: tuple[Finding, ...], verdicts: Mapping[str, TableVerdict], clean: Clean) -> Outcome:
    if error:
        return "blocked" if verdicts else "refused"
    names: dict[str, Outcome] = {"repair": "repaired", "warn": "warned", "quarantine": "quarantined", "block": "blocked"}
    found: list[Outcome] = [names[finding.outcome] for finding in findings]
    if any(verdict.withheld > clean.verdicts[table].withheld for table, verdict in verdicts.items()):
        found.append("withheld")
    if any(verdict.notes != clean.verdicts[table].notes for table, verdict in verdicts.items() if table in clean.verdicts):
        found.append("reported")
    return max(found, key=OUTCOMES.index, default="identical")


def _same(clean: Clean, run: Path, verdicts: Mapping[str, TableVerdict]) -> tuple[bool, bool]:
    """Whether the accepted tables have the same rows as the sound ones, and whether their files are equal to the byte."""
    rows = in_bytes = True
    for table in verdicts:
        mine, sound = (folder / "snapshot" / f"{table}.parquet" for folder in (run, clean.run))
        if not sound.exists():
            rows = in_bytes = False  # a table that the sound delivery does not have
            continue
        if _content(mine) == _content(sound):
            continue
        in_bytes = False
        rows = rows and _row_set(mine, CONTRACTS[table]).equals(_row_set(sound, CONTRACTS[table]))
    return rows, in_bytes


def _row_set(path: Path, contract: Contract) -> pl.DataFrame:
    names = [column.name for column in contract.columns]
    return pl.read_parquet(path).select(names).sort(names, nulls_last=True)


def _conserved(landed: Mapping[str, LandedTable], run: Path, verdicts: Mapping[str, TableVerdict]) -> bool:
    """landed = withheld + read and read = accepted + quarantined, counted in the files."""
    for table, verdict in verdicts.items():
        accepted, quarantined = (
            pl.scan_parquet(run / folder / f"{table}.parquet").select(pl.len()).collect().item()
            for folder in ("snapshot", "quarantine")
        )
        # A file beside the first of a table that is no folder only tells more of its rows.
        found = landed.get(table)
        parts = () if found is None else found.files if found.path.is_dir() else found.files[:1]
        rows = sum(file.rows for file in parts)
        if (rows, verdict.read) != (verdict.read + verdict.withheld, accepted + quarantined):
            return False
    return True
