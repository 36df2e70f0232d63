"""A corruption tried on the real ingest and the real contracts, and what came of it held against what was expected."""

from __future__ import annotations

import shutil
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from data_contracts.checkpoint import CONTRACTS, CheckContext, check_landing
from data_contracts.contract import Contract
from data_contracts.corruptions.case import OUTCOMES, Corruption, Expected, Outcome
from data_contracts.corruptions.sample import AS_OF, write_sample
from data_contracts.errors import ContractBlocked, LandingError, NightfolioError
from data_contracts.landing import LandedTable, read_landing
from data_contracts.verdicts import TableVerdict, read_verdicts

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
    """The sound delivery after ingest and contracts: what every trial is compared with."""

    run: Path
    landed: Mapping[str, LandedTable]
    verdicts: Mapping[str, TableVerdict]

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


def context() -> CheckContext:
    """The limits of the default settings."""
    return CheckContext(
        as_of=AS_OF,
        references={},
        previous_rows={},
        freshness_days=7,
        volume_change_limit=0.5,
        price_jump_limit=0.5,
        quarantine_limits={},
    )


def clean_run(folder: Path) -> Clean:
    """Ingest and contracts of the sound delivery, under ``folder``. Raises RuntimeError where a rule finds fault with it."""
    source = write_sample(folder / "sample")
    run = folder / "clean"
    landed = read_landing("far_trans", source, run / "landed", AS_OF, "block")
    verdicts = {verdict.table: verdict for verdict in check_landing(landed, run, context())}
    faults = [rule.message for verdict in verdicts.values() for rule in verdict.rules if rule.outcome != "pass"]
    if faults:
        raise RuntimeError("the sound delivery is not sound: " + "; ".join(faults))
    return Clean(run, landed, verdicts)


def attempt(corruption: Corruption, clean: Clean, folder: Path, *, every_table: bool = False, ask_library: bool = True) -> Found:
    """Spoils a copy of the sound delivery in ``folder`` and takes it through ingest and contracts.

    A table whose landed file is to the byte that of the sound delivery, like all that its rules look at, gets the same
    verdict; unless ``every_table``, it is not asked for again. ``ask_library`` as in CheckContext.
    """
    started = time.perf_counter()
    source, run = write_sample(folder / "landing"), folder / "run"
    error, crash = "", ""
    verdicts: dict[str, TableVerdict] = {}
    landed: Mapping[str, LandedTable] = {}
    try:
        landed = _ingest(corruption, source, run)
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


def _ingest(corruption: Corruption, source: Path, run: Path) -> dict[str, LandedTable]:
    if not corruption.while_read:
        corruption.spoil(source)
        return read_landing("far_trans", source, run / "landed", AS_OF, corruption.future_rows)
    ended = threading.Event()

    def deliver() -> None:
        while not ended.is_set():
            corruption.spoil(source)

    writer = threading.Thread(target=deliver)
    writer.start()
    try:
        return read_landing("far_trans", source, run / "landed", AS_OF, corruption.future_rows)
    finally:
        ended.set()
        writer.join()


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
        shutil.copy(clean.run / "snapshot" / f"{table}.parquet", path)
    columns = {table: verdict.source_columns for table, verdict in clean.verdicts.items()}
    # What was delivered and is not asked for again must not look as if it were gone.
    previous = {table: verdict.read for table, verdict in clean.verdicts.items() if table in asked or table not in landed}
    night = replace(context(), references=known, ask_library=ask_library)
    if not first:
        accepted = {table: clean.run / "snapshot" / f"{table}.parquet" for table in clean.verdicts}
        night = replace(night, previous_rows=previous, previous_columns=columns, previous_tables=accepted)
    return {verdict.table: verdict for verdict in check_landing({t: landed[t] for t in asked}, run, night)}


def _told(landed: Mapping[str, LandedTable], clean: Clean, table: str) -> bool:
    """Whether the reader says of the table what it does not say of the sound one."""
    mine, theirs = landed.get(table), clean.landed.get(table)
    if mine is None or theirs is None:
        return mine is not theirs
    return (mine.notes, mine.withheld, mine.columns) != (theirs.notes, theirs.withheld, theirs.columns)


def _bytes(table: LandedTable | None) -> bytes:
    return b"" if table is None else table.path.read_bytes()


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
        if mine.read_bytes() == sound.read_bytes():
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
        rows = sum(file.rows for file in landed[table].files[:1]) if table in landed else 0
        if (rows, verdict.read) != (verdict.read + verdict.withheld, accepted + quarantined):
            return False
    return True


def complaints(corruption: Corruption, found: Found, clean: Clean) -> list[str]:
    """What is not as expected: empty where the trial went as it must."""
    expected, wrong = corruption.expected, []
    if found.crash:
        return [f"a bare error: {found.crash.strip().splitlines()[-1]}"]
    if not found.conserved:
        wrong.append("rows are not conserved")
    if found.outcome != expected.outcome:
        wrong.append(f"{found.outcome} instead of {expected.outcome}")
    if expected.outcome == "refused":
        wrong += _missing_words(found.error, expected.file, expected.says, "remedy: ")
        return wrong
    if expected.rule:
        wrong += _rule_complaints(expected, found)
    if expected.outcome == "withheld" and found.withheld.get(expected.table) != expected.count:
        wrong.append(f"{found.withheld.get(expected.table)} rows withheld instead of {expected.count}")
    if expected.outcome == "reported":
        wrong += _missing_words(" ".join(found.notes.get(expected.table, ())), expected.says)
    if expected.outcome in ("identical", "reported") and not (found.same_bytes if expected.in_bytes else found.same_rows):
        wrong.append("accepted tables differ from those of the sound delivery")
    if expected.outcome != "blocked":
        lost = {table: clean.accepted[table] - rows for table, rows in found.accepted.items() if clean.accepted[table] != rows}
        if lost != {table: rows for table, rows in expected.lost.items() if rows}:
            wrong.append(f"accepted rows lost: {lost} instead of {dict(expected.lost)}")
    return wrong


def told(found: Found) -> list[str]:
    """What a person is told of a spoilt delivery: the error that stopped the night, or every finding with its remedy."""
    if found.crash or found.error:
        return (found.crash or found.error).splitlines()
    findings = [f"{one.message} [{one.rule}] remedy: {one.remedy}" for one in found.findings]
    return findings + [note for notes in found.notes.values() for note in notes]


def _rule_complaints(expected: Expected, found: Found) -> list[str]:
    findings = [one for one in found.findings if (one.table, one.rule) == (expected.table, expected.rule)]
    if not findings:
        return [f"{expected.table}.{expected.rule} found nothing"]
    (finding,) = findings
    wrong = [] if finding.count == expected.count else [f"{finding.count} found instead of {expected.count}"]
    said = found.error if found.outcome == "blocked" else finding.message
    if "(no file)" not in said:
        wrong += _missing_words(said, f"{expected.table} (", ".parquet" if expected.table == "delivered_holdings" else ".csv")
    if found.outcome == "blocked":
        wrong += _missing_words(said, f"[{expected.rule}]", "remedy: ")
    if not finding.remedy:
        wrong.append(f"{expected.rule} has no remedy")
    return wrong


def _missing_words(said: str, *words: str) -> list[str]:
    return [f"{word!r} is not in the message {said!r}" for word in words if word not in said]
