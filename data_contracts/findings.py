"""What one night found of a table's rows, for the next one whose table begins with the same rows.

A table that comes in many files grows by a file a day. Its typed files are kept already (``landing.partitions``); here
are kept the counts, the rows that searches found and the numbered texts of a whole table, under the hashes of its files. The
next night asks only of the files behind them what a row can answer by itself or with rows of its own day; what needs more
is asked of the customers or numbers that occur there, or of all rows, as each rule's ``carry`` says. Whatever does not fit
(a file changed, a price of an old day came, a repair) makes the night ask everything again. The findings are those of a
night that knows nothing: tests compare the bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import pyarrow as pa

from data_contracts import columns as c
from data_contracts.carried import Carried
from data_contracts.coded_table import read_codes, write_codes
from data_contracts.contract import CheckContext, Contract
from data_contracts.flagged import FlaggedTable, TableCounts
from data_contracts.landing.partitions import KEPT_DAYS, remove_unused, this_code
from data_contracts.parts import part_files, row_count
from data_contracts.storage import file_sha256

_HITS: Final = "hits.parquet"
_NOTE: Final = "note.json"


def hashes_of(table: Path, context: CheckContext) -> list[str]:
    """The hashes of the files of a landed table whose findings are kept; none where they are not: no folder, or one file."""
    return [file_sha256(part) for part in part_files(table)] if context.kept is not None and table.is_dir() else []


def carried_of(contract: Contract, table: Path, hashes: Sequence[str], context: CheckContext) -> Carried | None:
    """The findings of the longest beginning of the landed ``table`` that is kept; None: there is none."""
    if context.kept is None or not hashes:
        return None
    best: tuple[int, Path, dict[str, Any]] | None = None
    for folder in sorted((context.kept / "carried").glob(f"{contract.table}-*")):
        note = _read_note(folder)
        if note is None or note["key"] != _key(contract, context) or note["as_of"] > str(context.as_of):
            continue
        count = len(note["files"])
        if list(hashes[:count]) == note["files"] and (best is None or count > best[0]):
            best = count, folder, note
    if best is None:
        return None
    _, folder, note = best
    # Whatever is wrong with what is kept, a night can do without it; what it lacks is worked out and kept again.
    with contextlib.suppress(OSError, ValueError, KeyError, pl.exceptions.PolarsError, pa.ArrowException):
        if all(file_sha256(folder / name) == known for name, known in note["sha256"].items()):
            (folder / _NOTE).touch()
            return _read(contract, table, folder, note, context)
    shutil.rmtree(folder, ignore_errors=True)
    return None


def _read(contract: Contract, table: Path, folder: Path, note: Mapping[str, Any], context: CheckContext) -> Carried:
    """The findings in ``folder``. Raises ValueError where they are not of so many rows as the files have."""
    files, count = part_files(table), len(note["files"])
    if note["rows"] != sum(row_count(file) for file in files[:count]):
        raise ValueError("the findings are not of the rows that the files have")
    found = pl.read_parquet(folder / _HITS)
    newest = None if note["newest"] is None else date.fromisoformat(note["newest"])
    return Carried(
        rows=note["rows"],
        files=count,
        failed=note["failed"],
        among=note["among"],
        hits={rule_id: found.filter(rule_id=rule_id)["row"] for rule_id in note["failed"]},
        newest=newest,
        coded=read_codes(folder, contract.coded),
        same=_same(note["references"], context, newest),
        later=_later(files[count:], contract, newest),
    )


def keep_findings(table: FlaggedTable, counts: TableCounts, hashes: Sequence[str], context: CheckContext) -> None:
    """Keeps what was found of the table whose files have the ``hashes``, where the next night can go on from it.

    It cannot where a row lies after as_of: what is wrong tonight would be right another night.
    """
    contract = table.contract
    timely = [rule.rule_id for rule in contract.rules if rule.looks_at_as_of]
    if context.kept is None or not hashes or any(counts.failed[rule_id] for rule_id in timely):
        return
    files = list(hashes)
    key = _key(contract, context)
    name = f"{contract.table}-{hashlib.sha256(json.dumps([key, files]).encode()).hexdigest()[:32]}"
    folder = context.kept / "carried" / name
    kept = _read_note(folder)
    if kept is not None and kept["as_of"] <= str(context.as_of):
        return
    shutil.rmtree(folder, ignore_errors=True)  # damaged, or of a later night, which an earlier one cannot use
    partial = folder.with_name(f".{name}.{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    asked = {rule_id: hits for rule_id, hits in table.hits.items() if len(hits)}
    hits = [pl.DataFrame({"rule_id": [rule_id] * len(rows), "row": rows.cast(pl.UInt64)}) for rule_id, rows in asked.items()]
    pl.concat([pl.DataFrame(schema={"rule_id": pl.String, "row": pl.UInt64}), *hits]).write_parquet(partial / _HITS)
    write_codes(partial, table.coded)
    note = {
        "key": key,
        "as_of": str(context.as_of),
        "files": files,
        "rows": counts.rows,
        "failed": counts.failed,
        "among": counts.among,
        "newest": None if counts.newest is None else str(counts.newest),
        "references": {name: _said_by(name, context) for name in contract.carry_needs},
        "sha256": {file.name: file_sha256(file) for file in sorted(partial.iterdir())},
    }
    sealed = {"note": note, "sha256": _seal(note)}
    (partial / _NOTE).write_text(json.dumps(sealed) + "\n", encoding="utf-8")
    with contextlib.suppress(OSError):  # another night kept the same
        partial.replace(folder)
    shutil.rmtree(partial, ignore_errors=True)
    _sweep(folder, key, files)


def _sweep(kept: Path, key: Sequence[str], files: Sequence[str]) -> None:
    """Removes findings that the ones just ``kept`` continue, and those that no night has used for long."""
    for folder in kept.parent.glob("*-*"):
        note = _read_note(folder)
        behind = note is not None and note["key"] == list(key) and note["files"] == list(files[: len(note["files"])])
        if folder != kept and (behind or remove_unused(folder / _NOTE, KEPT_DAYS)):
            shutil.rmtree(folder, ignore_errors=True)


def _read_note(folder: Path) -> dict[str, Any] | None:
    """The folder's note; None where there is none, or not as it was written: its counts decide what is set aside."""
    try:
        sealed = json.loads((folder / _NOTE).read_text(encoding="utf-8"))
        note: dict[str, Any] = sealed["note"]
        return note if sealed["sha256"] == _seal(note) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _seal(note: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(note, sort_keys=True).encode()).hexdigest()


def _key(contract: Contract, context: CheckContext) -> list[str]:
    """What the findings depend on besides the rows: the contract, the code that asks it, its thresholds, the engines."""
    thresholds = [context.price_jump_limit, context.trade_price_tolerance, context.amount_tolerance]
    return [contract.sha256, this_code(), str(thresholds), pl.__version__, np.__version__, pa.__version__]


def _said_by(name: str, context: CheckContext) -> list[str]:
    """The hashes of an accepted table's files."""
    path = context.references.get(name)
    return [] if path is None else [file_sha256(part) for part in part_files(path)]


def _same(before: Mapping[str, list[str]], context: CheckContext, newest: date | None) -> frozenset[str]:
    """Tables whose files are as they were; of prices, files with later days than ``newest`` may have come."""
    same = set()
    for name, files in before.items():
        now = _said_by(name, context)
        grown = name == "prices" and len(files) > 0 and now[: len(files)] == files
        if now == files or (grown and _only_later(part_files(context.references[name])[len(files) :], c.DATE, newest)):
            same.add(name)
    return frozenset(same)


def _later(files: Sequence[Path], contract: Contract, newest: date | None) -> bool:
    return contract.date_column is not None and _only_later(files, contract.date_column, newest)


def _only_later(files: Sequence[Path], column: str, newest: date | None) -> bool:
    """Whether every row of the files is dated, and after ``newest``."""
    if not files or newest is None:
        return not files
    days = pl.scan_parquet(list(files)).select(pl.col(column).null_count().alias("undated"), pl.col(column).min().alias("first"))
    undated, first = days.collect(engine="streaming").row(0)
    return bool(undated == 0 and (first is None or first > newest))
