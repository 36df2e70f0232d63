"""Nightfolio's own layout: what a firm exports to.

A folder with ``customers``, ``assets``, ``prices`` and ``transactions``, and optionally ``holdings`` (positions the
firm itself states), ``restricted`` and ``markets``; each as NAME.parquet, NAME.csv, NAME.csv.gz, or a folder NAME/ of
many Parquet files (read in order of their names). Columns bear the names of ``columns.py``; the contract of each
table says which of them may be left out. CSV: UTF-8, commas, one header row, dates as YYYY-MM-DD, a decimal point.

Left-out columns: ``record_kind`` follows from the amounts (value and units present: full, else dated_only);
``risk_predicted`` and ``capacity_predicted`` are false, since a firm that does not predict has nothing to say there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Final

import polars as pl

from data_contracts import (
    assets,
    customers,
    delivered_holdings,
    markets,
    prices,
    restricted,
    transactions,
)
from data_contracts import columns as c
from data_contracts.contract import Contract
from data_contracts.errors import LandingError
from data_contracts.landing.conform import DESCRIBING, FutureRows, Part, csv_part, land, require_columns, text
from data_contracts.landing.drift import alike
from data_contracts.landing.files import check_csv, check_parquet, find_file, require_file
from data_contracts.landing.landed import LandedTable
from data_contracts.landing.partitions import Partitions
from data_contracts.landing.questionnaires import without_look_ahead
from data_contracts.parts import part_files
from data_contracts.printable import printable

# Contract, name in the layout, and whether a source must have it.
TABLES: Final[tuple[tuple[Contract, str, bool], ...]] = (
    (assets.CONTRACT, "assets", True),
    (markets.CONTRACT, "markets", False),
    (customers.CONTRACT, "customers", True),
    (prices.CONTRACT, "prices", True),
    (transactions.CONTRACT, "transactions", True),
    (delivered_holdings.CONTRACT, "holdings", False),
    (restricted.CONTRACT, "restricted", False),
)

SUFFIXES: Final = (".parquet", ".csv", ".csv.gz", "")  # of a table's name, "" a folder
# What a simulated market's folder holds besides its tables; see ``simulate``.
BESIDE: Final = frozenset({"market.json", "truth"})


def read_nightfolio(
    source: Path, into: Path, as_of: date, future_rows: FutureRows, time_zone: str = "UTC", partitions: Partitions | None = None
) -> dict[str, LandedTable]:
    """Reads every table of the layout, prices and trades from ``partitions`` where they are kept there.

    Raises LandingError (see ``files`` and ``conform``).
    """
    unread = _unread(source)
    tables: dict[str, LandedTable] = {}
    for contract, name, needed in TABLES:
        parts = _parts(contract, source, name, needed, into)
        if parts is None and contract is not restricted.CONTRACT:
            continue
        notes: tuple[str, ...] = ()
        found = parts or []  # without a restricted list its contract says what that means
        if contract is customers.CONTRACT:
            found, notes = without_look_ahead(found, as_of, future_rows, time_zone=time_zone)
        if contract is assets.CONTRACT and unread:
            shown = ", ".join(unread[:8]) + (f" and {len(unread) - 8} more" if len(unread) > 8 else "")
            notes = (f"entries of the source folder that are not read: {shown}",)
        # What a customer's row becomes depends on as_of; prices and trades are their files' alone.
        kept = partitions if contract.table in ("prices", "transactions") else None
        tables[contract.table] = land(contract, found, into, as_of, future_rows, notes, time_zone, kept)
        if contract is transactions.CONTRACT:
            tables[contract.table] = with_bare_trades(tables[contract.table], found)
    return tables


def looks_for(path: str) -> bool:
    """Whether a file of this path in the source folder is one of a table."""
    first = path.split("/", maxsplit=1)[0]
    return any(first == name + suffix for _, name, _ in TABLES for suffix in SUFFIXES)


def with_bare_trades(trades: LandedTable, parts: Sequence[Part]) -> LandedTable:
    """The table with the number of rows that became dated_only because value or units were empty, and a note of them.

    Nothing changes where every part says of its rows what they are.
    """
    by_amount = {Path(part.file.name).name for part in parts if c.RECORD_KIND not in part.raw}
    if not by_amount:
        return trades
    # One by one: only parts with a field that did not convert have the columns that say so.
    files = [file for file in part_files(trades.path) if len(parts) == 1 or file.name in by_amount]
    bare = [pl.scan_parquet(file).select((pl.col(c.RECORD_KIND) == "dated_only").sum()) for file in files]
    count = sum(int(frame.item() or 0) for frame in pl.collect_all(bare))
    note = f"{count:,} of {trades.read:,} rows have no value or no units and are read as dated_only"
    return replace(trades, notes=(*trades.notes, note) if count else trades.notes, without_amount=count)


def _unread(source: Path) -> list[str]:
    """Entries of the source folder that no table is read from.

    Raises LandingError where one looks like a table: under a wrong name it would be missed without a word.
    """
    names = [name for _, name, _ in TABLES]
    expected = {name + suffix for name in names for suffix in SUFFIXES} | BESIDE
    unread = sorted(entry.name for entry in source.iterdir() if entry.name not in expected)
    for entry in unread:
        stem = entry.lstrip("._").split(".")[0]
        table = alike(stem, names) if stem else None
        if table is not None and not entry.lower().endswith(".md"):
            raise LandingError(
                f"{table}: {printable(entry)} looks like this table but is not read",
                remedy=f"name it {table}.parquet, {table}.csv or {table}.csv.gz (or give a folder {table}/ of Parquet files), "
                "or move it out of the source folder",
            )
    return [printable(entry) for entry in unread]


def _parts(contract: Contract, source: Path, name: str, needed: bool, into: Path) -> list[Part] | None:
    """The files of one table as parts, or None where the source does not have the table."""
    names = tuple(name + suffix for suffix in SUFFIXES)
    path = require_file(source, contract.table, names) if needed else find_file(source, names)
    if path is None:
        return None
    if not path.is_dir():
        return [read_part(contract, path, path.name, into)]
    files = sorted(path.iterdir())
    if not files:
        raise LandingError(
            f"{contract.table}: the folder {path.name}/ holds no .parquet file",
            remedy="put the table's Parquet files there, or remove the folder",
        )
    for file in files:
        # A file passed over would be rows missing without a word; a hidden one is a transfer that has not ended.
        if file.suffix != ".parquet" or file.name.startswith(".") or not file.is_file():
            raise LandingError(
                f"{contract.table}: {path.name}/{printable(file.name)} is no plain .parquet file",
                remedy="leave only the table's Parquet files, named NAME.parquet, in that folder; move everything else out of it",
            )
    with ThreadPoolExecutor(2) as pool:  # mostly hashing, which lets other threads run; the first file at fault is named
        return list(pool.map(lambda file: read_part(contract, file, f"{path.name}/{file.name}", into), files))


def read_part(contract: Contract, path: Path, name: str, into: Path) -> Part:
    """One file in canonical columns as a part. Raises LandingError."""
    if path.suffix == ".parquet":
        parquet = check_parquet(path, into / "plain" / Path(name).parent, name)
        header, types = tuple(parquet.schema.names()), parquet.schema
        part = Part(parquet.source, parquet.scan(), {}, (), check_text=contract.table in DESCRIBING)
    else:
        csv = check_csv(path, into / "plain")
        header, types = csv.header, pl.Schema(dict.fromkeys(csv.header, pl.String()))
        part = csv_part(csv, {}, ())
    require_columns(name, header, [column.name for column in contract.columns if column.required], part.frame, contract)
    values = {
        column.name: text(column.name) if types[column.name] == pl.String() else pl.col(column.name)
        for column in contract.columns
        if column.name in header
    }
    values = _defaults(contract, values) | values
    raw = tuple(column.name for column in contract.columns if column.name in header)
    return replace(part, file=replace(part.file, name=name), values=values, raw=raw)


def _defaults(contract: Contract, values: Mapping[str, pl.Expr]) -> dict[str, pl.Expr]:
    """What a left-out column says, where null would be wrong."""
    if contract is customers.CONTRACT:
        return {c.RISK_PREDICTED: pl.lit(False), c.CAPACITY_PREDICTED: pl.lit(False)}
    if contract is transactions.CONTRACT:
        known = values[c.VALUE].is_not_null() & values[c.UNITS].is_not_null()
        return {c.RECORD_KIND: pl.when(known).then(pl.lit("full")).otherwise(pl.lit("dated_only"))}
    return {}
