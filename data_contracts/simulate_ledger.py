"""The simulated market's trade tables: transactions, what is held at the end, and the truth behind each purchase."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl

from data_contracts import columns as c
from data_contracts.simulate_customers import Customers, customer_ids
from data_contracts.simulate_draws import uniforms
from data_contracts.simulate_sectors import MARKETS
from data_contracts.simulate_trades import REASON_NAMES, Market, Trades

_CHANNELS = ("internet_banking", "branch", "phone_banking")
#: A customer keeps to one channel (6 in 10 to the first), except for one trade in ten, made at the branch.
_HABITS = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1, 2])
_HABIT_STREAM, _STRAY_STREAM = 30, 31
_STRAY_SHARE = 0.1


def transactions_table(market: Market, customers: Customers, trades: Trades, written: int) -> pl.DataFrame:
    """A chunk's transactions in customer, then time order; ``written`` rows came before it.

    ``value`` is exactly ``units`` times that day's close, in EUR.
    """
    row = written + 1 + np.arange(len(trades.who), dtype=np.int64)
    habit = _HABITS[(uniforms(market.seed, _HABIT_STREAM, customers.number) * len(_HABITS)).astype(np.int64)]
    strays = uniforms(market.seed, _STRAY_STREAM, row) < _STRAY_SHARE
    channel = np.where(strays, 1, habit[trades.who])
    market_ids = pl.Series([market_id for market_id, _, _, _ in MARKETS])
    return pl.DataFrame(
        {
            c.TRANSACTION_ID: pl.select("T" + pl.Series(row).cast(pl.String).str.zfill(10)).to_series(),
            c.CUSTOMER_ID: customer_ids(customers.number).gather(trades.who),
            c.ASSET_ID: pl.Series(market.catalogue.isin).gather(trades.asset),
            c.SIDE: pl.Series(["sell", "buy"]).gather(trades.buy.astype(np.int64)),
            c.DATE: pl.Series(market.weather.calendar, dtype=pl.Date).gather(trades.day),
            c.VALUE: trades.units * market.close[trades.asset, trades.day],
            c.UNITS: trades.units,
            c.CHANNEL: pl.Series(_CHANNELS).gather(channel),
            c.MARKET_ID: market_ids.gather(market.catalogue.market[trades.asset]),
            c.RECORD_KIND: pl.repeat("full", len(row), eager=True),
            c.DATE_WINDOW_DAYS: pl.repeat(None, len(row), dtype=pl.Int32, eager=True),
        }
    )


def purchases_table(market: Market, trades: Trades, rows: pl.DataFrame, written: int) -> pl.DataFrame:
    """Truth, one row per buy among ``rows`` (the chunk's transactions); ``source_row`` counts transactions from 1.

    ``reason`` is one of REASON_NAMES; ``reason_asset_id`` is the holding that drove the purchase (reason "holding":
    one whose companion was bought; "top_up": the asset itself), null for the other reasons.
    """
    buy = np.flatnonzero(trades.buy)
    driver = trades.reason_asset[buy]
    driver_ids = pl.Series(market.catalogue.isin).gather(np.maximum(driver, 0))
    return rows.select(c.CUSTOMER_ID, c.ASSET_ID, c.DATE)[buy].select(
        pl.Series("source_row", written + 1 + buy, dtype=pl.Int64),
        pl.all(),
        pl.Series(REASON_NAMES).gather(trades.reason[buy]).alias(c.REASON),
        pl.when(pl.Series(driver >= 0)).then(driver_ids).alias("reason_asset_id"),
    )


def holdings_table(market: Market, customers: Customers, trades: Trades, as_of: dt.date) -> pl.DataFrame:
    """What the source itself says that each customer of the chunk holds at the end of ``as_of``."""
    who, asset = np.nonzero(trades.held)
    return pl.DataFrame(
        {
            c.AS_OF_DATE: pl.repeat(as_of, len(who), dtype=pl.Date, eager=True),
            c.CUSTOMER_ID: customer_ids(customers.number).gather(who),
            c.ASSET_ID: pl.Series(market.catalogue.isin).gather(asset),
            c.UNITS: trades.held[who, asset],
        }
    )
