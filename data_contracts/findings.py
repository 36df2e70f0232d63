"""What one night found of a table's rows, for the next one whose table begins with the same rows.

A table that comes in many files grows by a file a day. Its typed files are kept already (``landing.partitions``); here
are kept the counts, the rows that searches found and the numbered texts of a whole table, under the hashes of its files. The
next night asks only of the files behind them what a row can answer by itself or with rows of its own day; what needs more
is asked of the customers or numbers that occur there, or of all rows, as each rule's ``carry`` says. Whatever does not fit
(a file changed, a price of an old day came, a repair) makes the night ask everything again. The findings are those of a
night that knows nothing: tests compare the bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Final

import polars as pl

from data_contracts import columns as c
from data_contracts.carried import Carried
from data_contracts.check_context import CheckContext
from data_contracts.coded_table import link_codes, read_codes, write_codes
from data_contracts.contract import Contract
from data_contracts.flagged import FlaggedTable, TableCounts
from data_contracts.parts import part_files, row_count
from data_contracts.shelf import Note, Shelf, part_hashes

_HITS: Final = "hits.parquet"


def hashes_of(table: Path, context: CheckContext) -> list[str]:
    """The hashes of the files of a landed table whose findings are kept; none where they are not: no folder, or one file."""
    return part_hashes(table) if context.kept is not None and table.is_dir() else []


def carried_of(contract: Contract, table: Path, hashes: Sequence[str], context: CheckContext) -> Carried | None:
    """The findings of the longest beginning of the landed ``table`` that is kept; None: there is none."""
    if context.kept is None or not hashes:
        return None
    shelf = _shelf(contract, context, context.kept)
    return shelf.take(hashes, lambda folder, note: _read(contract, table, folder, note, context))


def _read(contract: Contract, table: Path, folder: Path, note: Note, context: CheckContext) -> Carried:
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


def keep_findings(
    table: FlaggedTable, counts: TableCounts, hashes: Sequence[str], context: CheckContext, codes: Path | None
) -> None:
    """Keeps what was found of the table whose files have the ``hashes``, where the next night can go on from it.

    ``codes``: the folder in which its codes are written already; None: they are not. It cannot go on where a row lies after
    as_of: what is wrong tonight would be right another night.
    """
    contract = table.contract
    timely = [rule.rule_id for rule in contract.rules if rule.looks_at_as_of]
    if context.kept is None or not hashes or any(counts.failed[rule_id] for rule_id in timely):
        return

    def write(folder: Path) -> None:
        asked = {rule_id: hits for rule_id, hits in table.hits.items() if len(hits)}
        hits = [pl.DataFrame({"rule_id": [rule_id] * len(rows), "row": rows.cast(pl.UInt64)}) for rule_id, rows in asked.items()]
        pl.concat([pl.DataFrame(schema={"rule_id": pl.String, "row": pl.UInt64}), *hits]).write_parquet(folder / _HITS)
        if codes is None:
            write_codes(folder, table.coded)
        else:
            link_codes(codes, folder, tuple(table.coded))

    said = {
        "rows": counts.rows,
        "failed": counts.failed,
        "among": counts.among,
        "newest": None if counts.newest is None else str(counts.newest),
        "references": {name: _said_by(name, context) for name in contract.carry_needs},
    }
    _shelf(contract, context, context.kept).keep(hashes, said, write)


def _shelf(contract: Contract, context: CheckContext, kept: Path) -> Shelf:
    """Findings depend, besides the rows, on the contract and its thresholds."""
    thresholds = [context.price_jump_limit, context.trade_price_tolerance, context.amount_tolerance]
    return Shelf(kept, contract.table, context.as_of, (contract.sha256, str(thresholds)))


def _said_by(name: str, context: CheckContext) -> list[str]:
    """The hashes of an accepted table's files."""
    path = context.references.get(name)
    return [] if path is None else part_hashes(path)


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
