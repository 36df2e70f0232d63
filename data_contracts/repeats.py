"""Repeats in one pass: all searches of a table for rows that share a key with another row ask the same few candidates.

Two rows that agree on all columns of a key agree on any part of it. So the columns common to the keys of a table's
searches are hashed once, streaming, eight bytes a row; sorting the hashes shows which occur twice; and only rows with
such a hash are handed to the searches, which compare values, never hashes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from data_contracts.carried import Continued
from data_contracts.check_context import CheckContext
from data_contracts.coded_table import CodedColumn, CodedTable
from data_contracts.contract import ROW, Contract, RepeatSearch

# Common columns that more of the rows share with another are no use: each search then looks for its own candidates.
WORTHWHILE = 0.2
_MIX: Final = np.uint64(0xD6E8FEB86659FD93)  # odd: multiplying by it loses nothing


def find_repeats(
    contract: Contract, rows: pl.LazyFrame, context: CheckContext, continued: Continued | None = None
) -> dict[str, pl.Series]:
    """Rows (values of ROW) that break each of the contract's rules whose search is a ``RepeatSearch``.

    ``continued``: where the first rows were searched before. If all keys hold the day and the others are of later days, no key
    is shared between the two, and only the others are searched.
    """
    searches = {rule.rule_id: rule.search for rule in contract.rules if isinstance(rule.search, RepeatSearch)}
    shared = set.intersection(*(set(search.key) for search in searches.values())) if searches else set()
    common = [column.name for column in contract.columns if column.name in shared]
    if continued is not None and continued.carried.later and contract.date_column in shared:
        first = continued.carried.rows
        behind = {name: CodedColumn(one.texts, one.codes[first:]) for name, one in (context.coded or {}).items()}
        found = _find(searches, common, contract, continued.fresh, replace(context, coded=behind or None))
        return {rule_id: continued.with_carried(rule_id, hits) for rule_id, hits in found.items()}
    return _find(searches, common, contract, rows, context)


def _find(
    searches: Mapping[str, RepeatSearch], common: Sequence[str], contract: Contract, rows: pl.LazyFrame, context: CheckContext
) -> dict[str, pl.Series]:
    rows = rows.select(ROW, *(column.name for column in contract.columns))  # not where each row came from
    few = candidates(rows, common, WORTHWHILE, context.coded) if common else None
    if few is None:
        return {rule_id: find_alone(search, rows, context) for rule_id, search in searches.items()}
    return {rule_id: search.find(few.lazy(), context) for rule_id, search in searches.items()}


def find_alone(search: RepeatSearch, rows: pl.LazyFrame, context: CheckContext) -> pl.Series:
    """What a search finds by itself."""
    few = candidates(rows, search.key, coded=context.coded)
    assert few is not None, "any number of candidates is taken"
    return search.find(few.lazy(), context)


def candidates(rows: pl.LazyFrame, key: Sequence[str], most: float = 1.0, coded: CodedTable | None = None) -> pl.DataFrame | None:
    """The rows that may share their key with another; None where their hashes are more than ``most`` of all.

    ``coded``: columns as numbers, by position in ``rows``, which cost less than hashing their text.
    """
    numbers = {name: coded[name].codes for name in key if name in coded} if coded is not None else {}
    texts = [name for name in key if name not in numbers]
    hashes = _hashes(rows, texts, list(numbers.values()))
    ordered = np.sort(hashes)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    if len(twice) > most * len(hashes):
        return None
    if len(twice) == 0:
        return rows.head(0).collect()
    found = pl.Series(hashes).is_in(pl.Series(np.unique(twice)).implode()).arg_true()
    return (
        rows.with_row_index("_place").filter(pl.col("_place").is_in(found.implode())).drop("_place").collect(engine="streaming")
    )


def _hashes(rows: pl.LazyFrame, texts: Sequence[str], numbers: Sequence[npt.NDArray[np.uint32]]) -> npt.NDArray[np.uint64]:
    """[n] a hash of the columns ``texts`` of each row and of its place in each of ``numbers`` [n]."""
    if texts:
        hashed = rows.select(pl.struct(*texts).hash(seed=0).alias("hash")).collect(engine="streaming")["hash"]
        hashes = hashed.to_numpy(writable=True)
    else:
        hashes = np.zeros(len(numbers[0]), np.uint64)
    for codes in numbers:
        hashes ^= codes
        hashes *= _MIX
        hashes ^= hashes >> np.uint64(32)
    return hashes
