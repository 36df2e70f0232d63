"""Searches in trades: prices far from the close, numbers used by two customers, sales of what is not held, closed days.

All of them are sorts, joins and groups that Polars runs in parallel, on hashes of the keys instead of their text; the
one that needs every trade of a pair in order takes the customers in parts, so that a hundred million trades fit.
"""

from __future__ import annotations

import math
from typing import Any, Final

import polars as pl

from data_contracts import columns as c
from data_contracts.calendar import market_days, market_of_assets, open_weekdays
from data_contracts.contract import ROW, CheckContext, Detail, Search
from data_contracts.repeats import candidates

ROWS_AT_ONCE: Final = 32_000_000  # trades sorted together: about 3 GB
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
        numbered = rows.filter(
            pl.col(c.TRANSACTION_ID).is_not_null(),
            ~pl.col(c.TRANSACTION_ID).str.starts_with("-"),
            pl.col(c.CUSTOMER_ID).is_not_null(),
        ).select(ROW, c.TRANSACTION_ID, c.CUSTOMER_ID)
        few = candidates(numbered, [c.TRANSACTION_ID])
        assert few is not None, "any number of candidates is taken"
        whose = few.group_by(c.TRANSACTION_ID).agg(pl.col(c.CUSTOMER_ID).n_unique().alias("_customers"))
        shared = whose.filter(pl.col("_customers") > 1)
        return few.join(shared, on=c.TRANSACTION_ID, how="semi")[ROW].sort()

    return search


def sold_beyond_holdings(residue: float) -> Search:
    """The first sale of each pair that exceeds what it can hold: the opening position plus what was bought before.

    What is held is told from the last delivered statement before the trade and the trades since. Before the first
    statement the opening position is that statement less the trades up to it; without any it is nothing. From the first
    trade whose units or whose day are not known, what is held is not known either, until the next statement.
    """

    def search(rows: pl.LazyFrame, context: CheckContext) -> pl.Series:
        n_sales = int(rows.select((pl.col(c.SIDE) == "sell").sum()).collect(engine="streaming").item())
        # Only pairs with a sale are looked at: about one more trade to each sale.
        parts = max(1, math.ceil(2 * n_sales / ROWS_AT_ONCE))
        found = [_oversold(*_part_of_pairs(rows, context, part, parts), residue) for part in range(parts)]
        return pl.concat(found)[ROW].sort()

    return search


_POSITIONS: Final = ("_stated", "_first_stated")
_STATED: Final = {c.CUSTOMER_ID: pl.String, c.ASSET_ID: pl.String, c.AS_OF_DATE: pl.Date, c.UNITS: pl.Float64}


def _part_of_pairs(rows: pl.LazyFrame, context: CheckContext, part: int, parts: int) -> tuple[pl.LazyFrame, pl.LazyFrame]:
    """Of a part of the customers: trades [ROW, _pair, date, _signed] of pairs with a sale, and their statements
    [_pair, _day, _stated]. ``_signed``: shares, buys positive, null where units or day are not known."""
    pair = pl.struct(c.CUSTOMER_ID, c.ASSET_ID).hash(seed=0).alias("_pair")
    mine = pl.col(c.CUSTOMER_ID).hash(seed=1) % parts == part
    sale = pl.col(c.SIDE) == "sell"
    exact = (pl.col(c.UNITS) > 0) & (pl.col(c.DATE_WINDOW_DAYS).fill_null(0) == 0)
    signed = pl.when(exact).then(pl.when(sale).then(-pl.col(c.UNITS)).otherwise(c.UNITS)).alias("_signed")
    sound = rows.filter(
        pl.col(c.CUSTOMER_ID).is_not_null(),
        pl.col(c.ASSET_ID).is_not_null(),
        pl.col(c.DATE) <= context.as_of,
        pl.col(c.SIDE).is_in(c.SIDES),
    )
    if parts > 1:
        sound = sound.filter(mine)
    trades = sound.select(ROW, pair, c.DATE, signed)
    sellers = sound.filter(sale).select(pair).unique()
    path = context.references.get("delivered_holdings")
    stated = pl.scan_parquet(path) if path is not None else pl.LazyFrame(schema=_STATED)
    known = stated.select(pair, pl.col(c.AS_OF_DATE).alias("_day"), pl.col(c.UNITS).alias("_stated"))
    return trades.join(sellers, on="_pair", how="semi"), known.join(sellers, on="_pair", how="semi")


def _oversold(trades: pl.LazyFrame, statements: pl.LazyFrame, residue: float) -> pl.DataFrame:
    """ROW of the first sale of each pair below what it held then, from its last statement or its opening position."""
    dated = statements.sort("_day").collect()
    first = dated.unique("_pair", keep="first", maintain_order=True).select("_pair", pl.col("_stated").alias("_first_stated"))
    # Of one day buys come first: the source does not say in which order a day's trades were made.
    order: dict[str, Any] = {"descending": [False, False, True], "nulls_last": False}
    frame = trades.collect(engine="streaming")
    if dated.is_empty():
        nothing = [pl.lit(None, dtype=pl.Date).alias("_day"), *(pl.lit(None, dtype=pl.Float64).alias(n) for n in _POSITIONS)]
        ordered = frame.sort("_pair", c.DATE, "_signed", **order).with_columns(nothing)
    else:
        known = frame.sort(c.DATE).join_asof(
            dated, left_on=c.DATE, right_on="_day", by="_pair", allow_exact_matches=False, check_sortedness=False
        )
        ordered = known.join(first, on="_pair", how="left").sort("_pair", c.DATE, "_signed", **order)
    # Rows lie pair by pair, and of a pair statement by statement: a change of either begins a run.
    run = (pl.col("_pair").ne_missing(pl.col("_pair").shift()) | pl.col("_day").ne_missing(pl.col("_day").shift())).cum_sum()
    unknown, signed = pl.col("_signed").is_null(), pl.col("_signed")
    moved = ordered.with_columns(run.alias("_run")).with_columns(
        signed.fill_null(0.0).cum_sum().over("_run").alias("_net"),
        unknown.cum_max().over("_run").alias("_unknown"),
    )
    if not dated.is_empty():
        whole = moved.group_by("_run").agg(signed.sum().alias("_all"), unknown.any().alias("_any_unknown"))
        moved = moved.join(whole, on="_run", how="left", maintain_order="left")
    else:
        moved = moved.with_columns(pl.lit(0.0).alias("_all"), pl.lit(False).alias("_any_unknown"))
    brought = pl.when(~pl.col("_any_unknown")).then(pl.max_horizontal(pl.col("_first_stated") - pl.col("_all"), 0.0))
    opening = (
        pl.when(pl.col("_day").is_not_null())
        .then(pl.max_horizontal("_stated", 0.0))
        .when(pl.col("_first_stated").is_null())
        .then(0.0)
        .otherwise(brought)
    )
    tolerance = pl.max_horizontal(pl.lit(residue), 1e-9 * signed.abs())
    below = (signed < 0) & ~pl.col("_unknown") & (opening + pl.col("_net") < -tolerance)
    return moved.filter(below.fill_null(False)).unique("_pair", keep="first", maintain_order=True).select(ROW)


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
