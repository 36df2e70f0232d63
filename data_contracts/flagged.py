"""A landed table with one boolean column per rule, worked out as it is read and never written.

Rules on single rows are expressions; of rules that need more than the row only the numbers of the bad rows are kept.
So a table of any size costs one streaming pass to be counted, and a bad row is looked for only where there is one.
"""

from __future__ import annotations

from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Final

import polars as pl

from data_contracts.carried import Carried, Continued
from data_contracts.check_context import CheckContext, Shared
from data_contracts.coded_table import CodedTable, code_columns
from data_contracts.contract import AS_OF, ROW, Contract, RepeatSearch, Rule
from data_contracts.repeats import find_repeats

_AT_ONCE: Final = 2  # searches side by side: each holds its columns in memory


@dataclass(frozen=True)
class TableCounts:
    """Rows of a table, rows breaking each rule by its id, and the newest day not after as_of (None: no such row).

    ``among``: rows that can break a rule, for the rules that not every row can break.
    """

    rows: int
    failed: dict[str, int]
    newest: date | None
    among: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class FlaggedTable:
    """``rows``: the landed table with ROW and AS_OF; ``hits``: rows found by searches, for each search that was asked.

    ``coded``: the columns that the contract has numbered, by ROW. ``continued``: where the first rows were counted before.
    """

    contract: Contract
    rows: pl.LazyFrame
    hits: dict[str, pl.Series]
    as_of: date
    coded: CodedTable = field(default_factory=dict)
    continued: Continued | None = None

    @property
    def asked(self) -> set[str]:
        """The rules that could be asked; a search has no answer where the table it refers to is absent."""
        return {rule.rule_id for rule in self.contract.rules if rule.bad is not None or rule.rule_id in self.hits}

    @property
    def frame(self) -> pl.LazyFrame:
        """The table with every rule's ``ok_column``. What is not selected from it is not worked out."""
        return self.flag(self.rows)

    def flag(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """Some of the table's rows with every rule's ``ok_column``."""
        flags = []
        for rule in self.contract.rules:
            hits = self.hits.get(rule.rule_id)
            if rule.bad is not None:
                keeps = ~rule.bad.fill_null(False)
            elif hits is None or hits.is_empty():
                keeps = pl.lit(True)
            else:
                keeps = ~pl.col(ROW).is_in(hits.implode())
            flags.append(keeps.alias(rule.ok_column))
        return rows.with_columns(flags)

    def count(self) -> TableCounts:
        """One streaming pass over the columns that rules on single rows look at, of the rows that were not counted before."""
        sums = [
            rule.bad.fill_null(False).sum().cast(pl.Int64).alias(rule.rule_id)
            for rule in self.contract.rules
            if rule.bad is not None
        ]
        among = {f"_among_{rule.rule_id}": rule for rule in self.contract.rules if rule.among is not None}
        sums += [
            rule.among.fill_null(False).sum().cast(pl.Int64).alias(name) for name, rule in among.items() if rule.among is not None
        ]
        if self.contract.date_column is not None:
            day = pl.col(self.contract.date_column)
            sums.append(day.filter(day <= self.as_of).max().alias("_newest"))
        uncounted = self.rows if self.continued is None else self.continued.fresh
        found = uncounted.select(pl.len().alias("_rows"), *sums).collect(engine="streaming").row(0, named=True)
        newest, n_rows = found.pop("_newest", None), int(found.pop("_rows"))
        able = {rule.rule_id: int(found.pop(name)) for name, rule in among.items()}
        searched = {rule.rule_id: len(self.hits.get(rule.rule_id, ())) for rule in self.contract.rules if rule.search is not None}
        counted = {name: int(number) for name, number in found.items()}
        if self.continued is not None:
            carried = self.continued.carried
            n_rows += carried.rows
            counted = {name: number + carried.failed[name] for name, number in counted.items()}
            able = {name: number + carried.among[name] for name, number in able.items()}
            newest = max((day for day in (newest, carried.newest) if day is not None), default=None)
        return TableCounts(n_rows, {**counted, **searched}, newest, able)


def flag_table(
    contract: Contract,
    table: pl.LazyFrame,
    context: CheckContext,
    coded: CodedTable | None = None,
    fresh: pl.LazyFrame | None = None,
    carried: Carried | None = None,
) -> FlaggedTable:
    """Numbers the rows and asks every search. ``table`` has the contract's columns and those that say where a row is from.

    ``coded``: what ``code_columns`` says of it, where that is known. ``fresh``: the rows behind those that findings are
    ``carried`` of, where there are any.
    """
    coded = code_columns(table, contract.coded) if coded is None else coded
    context = replace(context, coded=coded or None, shared=Shared())
    numbered = _numbered(table, context)
    continued = None
    if carried is not None and fresh is not None:
        continued = Continued(numbered, _numbered(fresh, context, carried.rows), context, carried)
    alone = [rule for rule in contract.rules if rule.search is not None and not isinstance(rule.search, RepeatSearch)]
    # Some searches are one thread's work in arrays: beside them, others keep the second core busy. From the last rule back,
    # since the dearest stands near the end.
    pool = ThreadPoolExecutor(_AT_ONCE)
    try:
        repeats = pool.submit(find_repeats, contract, numbered, context, continued)
        searches = {rule.rule_id: pool.submit(_search, rule, numbered, context, continued) for rule in alone[::-1]}
        tasks: list[Future[Any]] = [repeats, *searches.values()]
        wait(tasks, return_when=FIRST_EXCEPTION)
    finally:
        pool.shutdown(cancel_futures=True)  # after a fault, or an interrupt, nothing more is begun
    hits = repeats.result()  # begun first, so never left out
    found = {rule.rule_id: searches[rule.rule_id].result() for rule in alone if not searches[rule.rule_id].cancelled()}
    hits |= {rule_id: rows.cast(pl.get_index_type()) for rule_id, rows in found.items() if rows is not None}
    return FlaggedTable(contract, numbered, hits, context.as_of, coded, continued)


def _search(rule: Rule, rows: pl.LazyFrame, context: CheckContext, continued: Continued | None) -> pl.Series | None:
    """The rows that break a rule; None: it cannot be asked."""
    assert rule.search is not None, "only rules with a search are searched for"
    found = None if rule.carry is None or continued is None else rule.carry(rule, continued)
    return rule.search(rows, context) if found is None else found


def _numbered(table: pl.LazyFrame, context: CheckContext, first: int = 0) -> pl.LazyFrame:
    return table.with_columns(pl.lit(context.as_of).alias(AS_OF)).with_row_index(ROW, offset=first)
