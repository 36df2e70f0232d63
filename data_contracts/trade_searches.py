"""Searches in trades: prices far from the close, numbers used by two customers, closed days, opening positions.

All of them are sorts, joins and groups that Polars runs in parallel, on hashes of the keys instead of their text.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import polars as pl

from data_contracts import columns as c
from data_contracts.calendar import market_days, market_of_assets, open_weekdays
from data_contracts.carried import Continued
from data_contracts.check_context import CheckContext
from data_contracts.contract import ROW, Carry, Detail, Rule, Search
from data_contracts.repeats import candidates

ALMOST_ALL: Final = 0.9  # of the weekdays: a market with closes on so many of them has one whenever it trades


def far_from_close() -> Search:
    """Full trades whose value / units is further from that day's close than trade_price_tolerance, relatively."""

    def search(rows: pl.LazyFrame, context: CheckContext) -> pl.Series | None:
        priced = _priced(rows, context)
        if priced is None:
            return None
        far = (pl.col("_price") / pl.col(c.CLOSE) - 1.0).abs() > context.trade_price_tolerance
        return priced.filter(far).select(ROW).collect(engine="streaming")[ROW]

    return search


def by_itself(needs: str | None = None) -> Carry:
    """The carry of a search that judges each row alone, or with what the table ``needs`` says of its day."""

    def carry(rule: Rule, continued: Continued) -> pl.Series | None:
        assert rule.search is not None, "only a search is carried"
        if needs is not None and needs not in continued.carried.same:
            return None
        found = rule.search(continued.fresh, replace(continued.context, coded=None))
        return None if found is None else continued.with_carried(rule.rule_id, found)

    return carry


def _priced(rows: pl.LazyFrame, context: CheckContext) -> pl.LazyFrame | None:
    """[ROW, asset_id, date, _price, close] of the trades that have an amount and a close of their day."""
    path = context.references.get("prices")
    if path is None:
        return None
    full = rows.filter(pl.col(c.VALUE) >= 0, pl.col(c.UNITS) > 0, pl.col(c.RECORD_KIND) == "full")
    trades = full.select(ROW, c.ASSET_ID, c.DATE, (pl.col(c.VALUE) / pl.col(c.UNITS)).alias("_price"))
    closes = pl.scan_parquet(path).select(c.ASSET_ID, c.DATE, c.CLOSE)
    return trades.join(closes, on=[c.ASSET_ID, c.DATE], how="inner")


def price_detail() -> Detail:
    """The price paid beside the close."""

    def detail(rows: pl.LazyFrame, shown: pl.Series, context: CheckContext) -> dict[int, str]:
        priced = _priced(rows.filter(pl.col(ROW).is_in(shown.implode())), context)
        assert priced is not None, "a rule that was not asked has no failing row"
        return {
            row[ROW]: f"{row['_price']:.6g} a unit, close {row[c.CLOSE]:.6g}" for row in priced.collect().iter_rows(named=True)
        }

    return detail


def amount_contradicts() -> Search:
    """Trades whose value is further from units x price than amount_tolerance, relatively; a cent is never too far."""

    def search(rows: pl.LazyFrame, context: CheckContext) -> pl.Series:
        product = pl.col(c.UNITS) * pl.col(c.PRICE)
        off = (pl.col(c.VALUE) - product).abs() > pl.max_horizontal(context.amount_tolerance * product.abs(), 0.01)
        return rows.filter(off).select(ROW).collect(engine="streaming")[ROW]

    return search


def amount_detail() -> Detail:
    """The three numbers that do not fit each other."""

    def detail(rows: pl.LazyFrame, shown: pl.Series, context: CheckContext) -> dict[int, str]:
        found = rows.filter(pl.col(ROW).is_in(shown.implode())).select(ROW, c.VALUE, c.UNITS, c.PRICE).collect()
        return {
            row[ROW]: f"value {row[c.VALUE]:.6g}, units {row[c.UNITS]:.6g} x price {row[c.PRICE]:.6g}"
            for row in found.iter_rows(named=True)
        }

    return detail


def shared_numbers() -> Search:
    """Trades whose transaction_id another customer's trade bears too; negative numbers are corporate actions."""

    def search(rows: pl.LazyFrame, context: CheckContext) -> pl.Series:
        few = candidates(_numbered(rows), [c.TRANSACTION_ID])
        assert few is not None, "any number of candidates is taken"
        return _of_two_customers(few)

    return search


def numbers_shared_with_new_ones(rule: Rule, continued: Continued) -> pl.Series:
    """The carry of ``shared_numbers``: of the rows before, only those with a number that occurs behind them are asked again."""
    numbers = _numbered(continued.fresh).select(c.TRANSACTION_ID).unique().collect()[c.TRANSACTION_ID]
    asked = _numbered(continued.rows).filter(pl.col(c.TRANSACTION_ID).is_in(numbers.implode()))
    return continued.with_carried(rule.rule_id, _of_two_customers(asked.collect(engine="streaming")))


def _numbered(rows: pl.LazyFrame) -> pl.LazyFrame:
    """[ROW, transaction_id, customer_id] of the trades that have a number, but for corporate actions."""
    return rows.filter(
        pl.col(c.TRANSACTION_ID).is_not_null(),
        ~pl.col(c.TRANSACTION_ID).str.starts_with("-"),
        pl.col(c.CUSTOMER_ID).is_not_null(),
    ).select(ROW, c.TRANSACTION_ID, c.CUSTOMER_ID)


def _of_two_customers(trades: pl.DataFrame) -> pl.Series:
    whose = trades.group_by(c.TRANSACTION_ID).agg(pl.col(c.CUSTOMER_ID).n_unique().alias("_customers"))
    shared = whose.filter(pl.col("_customers") > 1)
    return trades.join(shared, on=c.TRANSACTION_ID, how="semi")[ROW].sort()


def brought_forward(times: float, least: int) -> Search:
    """Buys of the table's first day, where it has ``times`` as many as the median day (and ``least`` at the least).

    A source that begins on a day books what was held before as buys of that day: they are opening positions, not
    decisions. Only the first buy of each pair can be one.
    """

    def search(rows: pl.LazyFrame, context: CheckContext) -> pl.Series:
        dated = rows.filter(pl.col(c.DATE).is_between(pl.date(1990, 1, 1), context.as_of))
        days = dated.group_by(c.DATE).agg(pl.len(), (pl.col(c.SIDE) == "sell").sum().alias("sales")).sort(c.DATE)
        counted = days.collect(engine="streaming")
        if counted.height < 2 or counted["sales"][0] > 0:
            return pl.Series(ROW, [], dtype=pl.get_index_type())
        usual = counted["len"][1:].median()
        if counted["len"][0] < least or counted["len"][0] < times * float(str(usual)):
            return pl.Series(ROW, [], dtype=pl.get_index_type())
        first = dated.filter(pl.col(c.DATE) == counted[c.DATE][0], pl.col(c.SIDE) == "buy")
        pairs = first.select(ROW, c.CUSTOMER_ID, c.ASSET_ID).collect(engine="streaming").sort(ROW)
        return pairs.unique([c.CUSTOMER_ID, c.ASSET_ID], keep="first", maintain_order=True)[ROW]

    return search


def on_closed_day() -> Search:
    """Trades on a day on which their market is closed: by its weekdays, or because nothing has a close on that day.

    The market is the trade's own, else the asset's. The closes only speak of markets that have one on almost every
    weekday. A window row has no day of its own.
    """

    def search(rows: pl.LazyFrame, context: CheckContext) -> pl.Series | None:
        markets, weekdays = market_of_assets(context), open_weekdays(context)
        if markets is None or weekdays is None:
            return None
        closed = _closed_days(rows, context, weekdays.collect())
        dated = rows.filter(pl.col(c.DATE_WINDOW_DAYS).fill_null(0) == 0)
        trades = dated.select(ROW, c.ASSET_ID, pl.col(c.MARKET_ID).alias("_own"), c.DATE)
        days = closed.select(c.DATE).unique()
        found = (
            trades.join(days.lazy(), on=c.DATE, how="semi")
            .join(markets, on=c.ASSET_ID, how="left")
            .with_columns(pl.coalesce("_own", c.MARKET_ID).alias(c.MARKET_ID))
            .join(closed.lazy(), on=[c.MARKET_ID, c.DATE], how="semi")
        )
        return found.select(pl.col(ROW).sort()).collect(engine="streaming")[ROW]

    return search


def _closed_days(rows: pl.LazyFrame, context: CheckContext, weekdays: pl.DataFrame) -> pl.DataFrame:
    """[market_id, date] of every day of a trade on which a market is closed."""
    days = (
        rows.filter(pl.col(c.DATE).is_between(pl.date(1990, 1, 1), context.as_of))
        .select(c.DATE)
        .unique()
        .collect(engine="streaming")
        .with_columns(pl.col(c.DATE).dt.weekday().cast(pl.Int8).alias("weekday"))
    )
    every = weekdays.select(c.MARKET_ID).unique().join(days, how="cross")  # markets x days: thousands
    shut = every.join(weekdays, on=[c.MARKET_ID, "weekday"], how="anti").select(c.MARKET_ID, c.DATE)
    path, markets = context.references.get("prices"), market_of_assets(context)
    if path is None or markets is None:
        return shut
    closes = pl.scan_parquet(path).select(c.ASSET_ID, c.DATE).join(markets, on=c.ASSET_ID)
    priced = market_days(closes).collect()
    spans = priced.group_by(c.MARKET_ID).agg(
        pl.col(c.DATE).min().alias("first"), pl.col(c.DATE).max().alias("last"), pl.len().alias("days")
    )
    full = spans.filter(pl.col("days") >= ALMOST_ALL * pl.business_day_count("first", "last").clip(1))
    within = every.join(full, on=c.MARKET_ID).filter(pl.col(c.DATE).is_between("first", "last"))
    idle = within.join(priced, on=[c.MARKET_ID, c.DATE], how="anti").select(c.MARKET_ID, c.DATE)
    return pl.concat([shut, idle]).unique()
