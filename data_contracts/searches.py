"""Searches for bad rows that a single row cannot show: repeats and unknown references.

Each returns a ``Search``: (landed table with the column ROW, context) -> the ROW numbers that break the rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import polars as pl

from data_contracts import columns as c
from data_contracts.check_context import CheckContext
from data_contracts.contract import ROW, RepeatSearch, Search

Keep = Literal["first", "last", "none"]


def exact_repeats(columns: Sequence[str], among: pl.Expr | None = None) -> RepeatSearch:
    """Rows equal to an earlier one in all ``columns`` (the first stays)."""

    def search(rows: pl.LazyFrame, context: CheckContext) -> pl.Series:
        chosen = rows if among is None else rows.filter(among)
        frame = chosen.select(ROW, *columns).sort(ROW).collect()
        return frame.filter(~pl.struct(columns).is_first_distinct())[ROW]

    return RepeatSearch(tuple(columns), search)


def conflicting_key(key: Sequence[str], values: Sequence[str], keep: Keep, among: pl.Expr | None = None) -> RepeatSearch:
    """Rows that share their key with another row but say something else in ``values``.

    Exact repeats are the business of ``exact_repeats`` and are not counted again. Of the statements left, ``keep``
    says which stays: the first, the last, or none of them where neither can be believed.
    """

    def search(rows: pl.LazyFrame, context: CheckContext) -> pl.Series:
        complete = pl.all_horizontal(pl.col(list(key)).is_not_null())
        chosen = rows.filter(complete if among is None else complete & among)
        frame = chosen.select(ROW, *key, *values).sort(ROW).collect()
        frame = frame.unique(subset=[*key, *values], keep="first", maintain_order=True)
        repeated = frame.filter(pl.struct(key).is_duplicated())
        if keep == "none":
            return repeated[ROW]
        stays = pl.struct(key).is_first_distinct() if keep == "first" else pl.struct(key).is_last_distinct()
        return repeated.filter(~stays)[ROW]

    return RepeatSearch(tuple(key), search)


def unknown_reference(column: str, table: str, reference_column: str | None = None) -> Search:
    """Rows whose value does not occur in an accepted table; null refers to nothing and is fine."""

    def search(rows: pl.LazyFrame, context: CheckContext) -> pl.Series | None:
        path = context.references.get(table)
        if path is None:
            return None
        known = pl.scan_parquet(path).select(pl.col(reference_column or column).alias(column)).unique()
        if context.coded is not None and column in context.coded:
            one = context.coded[column]
            strange = ~one.texts.is_in(known.collect()[column].implode()).to_numpy()
            if not strange.any():
                return pl.Series(ROW, [], pl.get_index_type())
            return pl.Series(ROW, one.rows_of(strange), pl.get_index_type())
        return (
            rows.select(ROW, column)
            .filter(pl.col(column).is_not_null())
            .join(known, on=column, how="anti")
            .select(ROW)
            .collect(engine="streaming")[ROW]
        )

    return search


def not_ascending(key: tuple[str, str]) -> Search:
    """Rows whose key is not greater than that of the row before: out of order, or there twice. One streaming pass, no sort."""

    def search(rows: pl.LazyFrame, context: CheckContext) -> pl.Series:
        first, second = (pl.col(name) for name in key)
        falls = (first < first.shift(1)) | ((first == first.shift(1)) & (second <= second.shift(1)))
        return rows.select(ROW, *key).filter(falls).select(ROW).collect(engine="streaming")[ROW]

    return search


def wholly_null(column: str) -> Search:
    """Every row, where no row has a value in the column: an export that lost it. One value is enough to pass."""

    def search(rows: pl.LazyFrame, context: CheckContext) -> pl.Series:
        known = rows.select(pl.col(column).is_not_null().any()).collect(engine="streaming").item()
        return (rows.head(0) if known else rows).select(ROW).collect(engine="streaming")[ROW]

    return search


def unknown_band() -> Search:
    """Rows whose investment capacity is a word that the night's suitability rules do not know; null is no word."""

    def search(rows: pl.LazyFrame, context: CheckContext) -> pl.Series:
        strange = ~pl.col(c.INVESTMENT_CAPACITY).is_in(list(context.capacity_bands))
        return rows.filter(strange).select(ROW).collect(engine="streaming")[ROW]

    return search
