"""Searches side by side: a fault comes out as it is, and what several ask for is collected once."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import polars as pl
import pytest

from data_contracts.check_context import CheckContext, Shared
from data_contracts.checkpoint import CONTRACTS
from data_contracts.contract import Rule, Search
from data_contracts.flagged import flag_table


def hits(context: CheckContext, **searches: Search) -> dict[str, list[int]]:
    """What the searches, each a rule, find in an empty table of markets."""
    rules = tuple(
        Rule(name, name, ("market_id",), "warn", "{is} bad", "mend it", search=search) for name, search in searches.items()
    )
    contract = replace(CONTRACTS["markets"], rules=rules)
    found = flag_table(contract, pl.LazyFrame(schema=contract.schema), context).hits
    return {name: rows.to_list() for name, rows in found.items()}


def finds(*rows: int) -> Search:
    return lambda table, context: pl.Series(rows, dtype=pl.UInt32)


def fails(error: Exception) -> Search:
    def search(table: pl.LazyFrame, context: CheckContext) -> pl.Series:
        raise error

    return search


def test_each_rule_has_its_own_rows_and_one_that_cannot_be_asked_none(context: CheckContext) -> None:
    assert hits(context, a=finds(1), b=lambda table, context: None, c=finds(2, 3)) == {"a": [1], "c": [2, 3]}


def test_a_fault_of_a_search_comes_out_and_nothing_more_is_begun(context: CheckContext) -> None:
    begun: list[str] = []

    def told(name: str) -> Search:
        def search(table: pl.LazyFrame, context: CheckContext) -> pl.Series:
            begun.append(name)
            time.sleep(0.05)
            return pl.Series([], dtype=pl.UInt32)

        return search

    rest = {f"r{number:02}": told(f"r{number:02}") for number in range(40)}
    with pytest.raises(OSError, match="no disk"):
        hits(context, **rest, last=fails(OSError("no disk")))
    assert len(begun) < 40, "the last rule's search is begun first"


def test_what_two_threads_ask_for_is_collected_once() -> None:
    asked: list[int] = []

    def count(frame: pl.DataFrame) -> pl.DataFrame:
        asked.append(1)
        return frame

    table = pl.LazyFrame({"a": [1]}).map_batches(count)
    shared = Shared()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: shared.collect(("a",), table), range(8)))
    assert [frame["a"].to_list() for frame in found] == [[1]] * 8
    assert len(asked) == 1
