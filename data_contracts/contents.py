"""What an accepted table's columns hold beside what they held at the last publication: values lost, words new and gone.

How many values a column has stands in the footers of the Parquet files, so a table of any size costs nothing; the words of a
column are counted only where the contract names it among its ``categories``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl
import pyarrow.parquet as pq

from data_contracts.contract import Contract
from data_contracts.parts import null_counts, part_files, row_count
from data_contracts.printable import printable

FEWER: Final = 0.8  # of its share of filled rows: from there a column has lost values, which no day's changes explain
LEAST: Final = 10  # rows: fewer values come and go by themselves
COMMON: Final = 0.05  # of the rows: a word that so many bear does not go away by itself


@dataclass(frozen=True)
class Contents:
    """How the columns of a table differ: each a finished phrase, e.g. ``sector (98.0% filled before, 0.0% now)``."""

    lost: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()


def compare_contents(contract: Contract, accepted: Path, previous: Path) -> Contents:
    """``accepted`` and ``previous``: the table's accepted rows of this night and of the last publication."""
    rows, rows_before = row_count(accepted), row_count(previous)
    if not rows or not rows_before:
        return Contents()
    optional = [column.name for column in contract.columns if column.nullable]
    now, before = _filled(accepted, optional), _filled(previous, optional)
    lost = []
    for name in optional:
        share, was = now[name] / rows, before.get(name, 0) / rows_before
        if before.get(name, 0) >= LEAST and share < FEWER * was - 1e-9:
            lost.append(f"{name} ({was:.1%} filled before, {share:.1%} now)")
    new, gone = [], []
    for name in contract.categories:
        words, words_before = _words(accepted, name), _words(previous, name)
        if not words_before:
            continue
        new += [f"{name} {printable(word)} ({n:,})" for word, n in words.items() if word not in words_before]
        least = max(LEAST, COMMON * rows_before)
        gone += [f"{name} {printable(w)} ({n:,} before)" for w, n in words_before.items() if w not in words and n >= least]
    return Contents(tuple(lost), tuple(new), tuple(gone))


def _filled(table: Path, names: list[str]) -> dict[str, int]:
    """Values of each of the columns that the table has, from the footers, or counted where a footer does not say."""
    filled = dict.fromkeys(names, 0)
    for part in part_files(table):
        footer = pq.read_metadata(part)
        nulls = null_counts(footer)
        for name in filter(nulls.__contains__, names):
            count = nulls[name]
            if count is None:
                return _counted(table, names)
            filled[name] += int(footer.num_rows) - count
    return filled


def _counted(table: Path, names: list[str]) -> dict[str, int]:
    rows = pl.scan_parquet(table)
    present = [name for name in names if name in rows.collect_schema()]
    counts = rows.select(pl.col(name).count() for name in present).collect(engine="streaming")
    return dict.fromkeys(names, 0) | {name: int(counts[name].item()) for name in present}


def _words(table: Path, name: str) -> dict[str, int]:
    """How many rows bear each word, the words in order."""
    rows = pl.scan_parquet(table)
    if name not in rows.collect_schema():
        return {}
    counted = rows.select(name).drop_nulls().group_by(name).len().sort(name).collect(engine="streaming")
    return dict(counted.iter_rows())
