"""On which days a market trades: its weekdays by the markets table, and its days as the closes themselves show them.

No calendar of holidays is brought in. A day counts as a trading day of a market where at least half of the assets that
are listed there by then (between their first and their last close) have a close. A source that has closes on few days
thus has few trading days, and nothing is missing from it.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from data_contracts import columns as c
from data_contracts.check_context import CheckContext
from data_contracts.contract import ROW

TRADED_SHARE: Final = 0.5  # of the listed assets
NO_MARKET: Final = "(no market)"  # assets whose market is not known are held against one another
WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

MARKET_DAY: Final = "_market_day"  # how many trading days the market had up to and including a day
TRADED: Final = "_traded"  # whether the day is one of them


def market_of_assets(context: CheckContext, unknown: str | None = None) -> pl.LazyFrame | None:
    """asset_id and market_id of the accepted assets (the newest row that has one counts); None: no assets.

    Assets of no known market are left out, or have the market ``unknown``.
    """
    path = context.references.get("assets")
    if path is None:
        return None
    rows = pl.scan_parquet(path)
    if c.MARKET_ID not in rows.collect_schema().names():
        return None
    known = rows.sort(c.VALID_FROM).group_by(c.ASSET_ID).agg(pl.col(c.MARKET_ID).drop_nulls().last())
    if unknown is None:
        return known.filter(pl.col(c.MARKET_ID).is_not_null())
    return known.with_columns(pl.col(c.MARKET_ID).fill_null(unknown))


def open_weekdays(context: CheckContext) -> pl.LazyFrame | None:
    """market_id and weekday (1 = Monday) for every weekday on which an accepted market is open; None: no markets.

    A market whose trading_days are empty or not in the form Mon,Tue,... is absent: nothing is known of it.
    """
    path = context.references.get("markets")
    if path is None:
        return None
    rows = pl.scan_parquet(path)
    if c.TRADING_DAYS not in rows.collect_schema().names():
        return None
    numbers = {name: number for number, name in enumerate(WEEKDAYS, start=1)}
    return (
        rows.select(c.MARKET_ID, pl.col(c.TRADING_DAYS).str.split(",").alias("weekday"))
        .explode("weekday", empty_as_null=False, keep_nulls=False)
        .with_columns(pl.col("weekday").str.strip_chars().replace_strict(numbers, default=None, return_dtype=pl.Int8))
        .drop_nulls()
    )


def dated_closes(rows: pl.LazyFrame, context: CheckContext) -> pl.LazyFrame | None:
    """[ROW, asset_id, date, market_id] of the closes that have a day up to as_of; None: no assets to tell markets by."""
    markets = market_of_assets(context, NO_MARKET)
    if markets is None:
        return None
    known = rows.filter(
        pl.col(c.ASSET_ID).is_not_null(), pl.col(c.DATE).is_between(pl.date(1990, 1, 1), context.as_of), pl.col(c.CLOSE) > 0
    )
    of_market = known.select(ROW, c.ASSET_ID, c.DATE).join(markets, on=c.ASSET_ID, how="inner")
    return context.once(("closes of markets",), of_market).lazy()


def days_of_closes(rows: pl.LazyFrame, context: CheckContext) -> pl.DataFrame | None:
    """``market_days`` of a table of closes, worked out once for all of its rules."""
    closes = dated_closes(rows, context)
    return None if closes is None else context.once(("market days",), market_days(closes))


def market_days(closes: pl.LazyFrame) -> pl.LazyFrame:
    """[market_id, date, TRADED, MARKET_DAY] for every day on which any asset of the market has a close.

    ``closes``: market_id, asset_id, date.
    """
    market_date = [c.MARKET_ID, c.DATE]
    days = closes.group_by(market_date).agg(pl.col(c.ASSET_ID).n_unique().cast(pl.Int64).alias("_with_close"))
    spans = closes.group_by(c.MARKET_ID, c.ASSET_ID).agg(
        pl.col(c.DATE).min().alias("_first"), pl.col(c.DATE).max().alias("_last")
    )
    begun = spans.group_by(c.MARKET_ID, pl.col("_first").alias(c.DATE)).agg(pl.len().cast(pl.Int64).alias("_begun"))
    ended = spans.group_by(c.MARKET_ID, pl.col("_last").alias(c.DATE)).agg(pl.len().cast(pl.Int64).alias("_ended"))
    listed = pl.col("_begun").cum_sum().over(c.MARKET_ID) - pl.col("_ended").cum_sum().over(c.MARKET_ID) + pl.col("_ended")
    return (
        days.join(begun, on=market_date, how="left")
        .join(ended, on=market_date, how="left")
        .with_columns(pl.col("_begun", "_ended").fill_null(0))
        .sort(market_date)
        .with_columns((pl.col("_with_close") >= TRADED_SHARE * listed).alias(TRADED))
        .select(*market_date, TRADED, pl.col(TRADED).cast(pl.Int64).cum_sum().over(c.MARKET_ID).alias(MARKET_DAY))
    )
