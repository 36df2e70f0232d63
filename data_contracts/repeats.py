"""Repeats in one pass: all searches of a table for rows that share a key with another row ask the same few candidates.

Two rows that agree on all columns of a key agree on any part of it. So the columns common to the keys of a table's
searches are hashed once, streaming, eight bytes a row; sorting the hashes shows which occur twice; and only rows with
such a hash are handed to the searches, which compare values, never hashes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from data_contracts.contract import CheckContext, Contract, RepeatSearch

# Common columns that more of the rows share with another are no use: each search then looks for its own candidates.
WORTHWHILE = 0.2


def find_repeats(contract: Contract, rows: pl.LazyFrame, context: CheckContext) -> dict[str, pl.Series]:
    """Rows (values of ROW) that break each of the contract's rules whose search is a ``RepeatSearch``."""
    searches = {rule.rule_id: rule.search for rule in contract.rules if isinstance(rule.search, RepeatSearch)}
    shared = set.intersection(*(set(search.key) for search in searches.values())) if searches else set()
    common = [column.name for column in contract.columns if column.name in shared]
    few = candidates(rows, common, WORTHWHILE) if common else None
    if few is None:
        return {rule_id: find_alone(search, rows, context) for rule_id, search in searches.items()}
    return {rule_id: search.find(few.lazy(), context) for rule_id, search in searches.items()}


def find_alone(search: RepeatSearch, rows: pl.LazyFrame, context: CheckContext) -> pl.Series:
    """What a search finds by itself."""
    few = candidates(rows, search.key)
    assert few is not None, "any number of candidates is taken"
    return search.find(few.lazy(), context)


def candidates(rows: pl.LazyFrame, key: Sequence[str], most: float = 1.0) -> pl.DataFrame | None:
    """The rows that may share their key with another; None where their hashes are more than ``most`` of all."""
    key_hash = pl.struct(*key).hash(seed=0)
    hashes = rows.select(key_hash.alias("hash")).collect(engine="streaming")["hash"].to_numpy(writable=True)
    hashes.sort()
    twice = hashes[1:][hashes[1:] == hashes[:-1]]
    if len(twice) > most * len(hashes):
        return None
    if len(twice) == 0:
        return rows.head(0).collect()
    return rows.filter(key_hash.is_in(pl.Series(np.unique(twice)).implode())).collect(engine="streaming")
