"""Small landings made from the contracts: sound tables to test with, and rows that break, or just keep, each rule.

Every column is drawn from the examples of its contract; the few ties between columns and tables that a rule speaks of
(an amount is units times price, a sale needs a purchase, an asset is listed on a market) are then put in.
"""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from data_contracts import assets, customers, delivered_holdings, markets, prices, restricted, transactions
from data_contracts import columns as c
from data_contracts.contract import Before, Contract, Example
from data_contracts.simulate_names import isin_check_digit

SAMPLE_AS_OF: Final = date(2021, 6, 30)
# Names in Nightfolio's layout.
FILES: Final = {
    "assets": "assets",
    "markets": "markets",
    "customers": "customers",
    "prices": "prices",
    "transactions": "transactions",
    "delivered_holdings": "holdings",
    "restricted": "restricted",
}


def example_table(contract: Contract, example: Example, as_of: date = SAMPLE_AS_OF) -> pl.DataFrame:
    """The rows of an example as a landed table: the contract's columns and those that say where a row came from."""
    said = {name: pl.String() for name in (c.SOURCE_FILE, c.RAW, c.RESPELT)}
    provenance = {**said, c.SOURCE_ROW: pl.Int64(), c.TYPE_ERRORS: pl.List(pl.String())}
    schema = {**contract.schema, **provenance}
    sound = {**contract.sound_row, c.SOURCE_FILE: f"{contract.table}.csv", c.TYPE_ERRORS: [], c.RAW: None, c.RESPELT: None}
    listed = [{**sound, **changes, c.SOURCE_ROW: number} for number, changes in enumerate(example, start=1)]
    return pl.DataFrame([{name: day_of(row[name], as_of) for name in schema} for row in listed], schema=schema)


def day_of(value: object, as_of: date) -> object:
    """An example's value, with its days counted from ``as_of``."""
    return as_of - timedelta(days=value.days) if isinstance(value, Before) else value


def sample_tables(
    as_of: date = SAMPLE_AS_OF, *, seed: int = 0, n_customers: int = 12, n_assets: int = 6, n_trades: int = 60, n_days: int = 40
) -> dict[str, pl.DataFrame]:
    """Sound tables by contract name; the same seed gives the same tables. ``n_days``: calendar days with closes."""
    rng = np.random.default_rng(seed)
    days = [as_of - timedelta(days=back) for back in range(n_days, 0, -1)]
    days = [day for day in days if day.weekday() < 5]
    listed = _drawn(markets.CONTRACT, len(markets.CONTRACT.column(c.MARKET_ID).examples), rng, as_of, distinct=True)
    bodies = [f"XS{number:09d}" for number in rng.choice(10**9, n_assets, replace=False)]
    catalogue = _drawn(assets.CONTRACT, n_assets, rng, as_of).with_columns(
        pl.Series(c.ASSET_ID, [f"{body}{digit}" for body, digit in zip(bodies, isin_check_digit(bodies), strict=True)]),
        pl.Series(c.ASSET_NAME, [f"Security {number}" for number in range(n_assets)]),
        pl.Series(c.MARKET_ID, rng.choice(listed[c.MARKET_ID].to_list(), n_assets)),
    )
    people = _drawn(customers.CONTRACT, n_customers, rng, as_of).with_columns(
        pl.Series(c.CUSTOMER_ID, [f"customer {number}" for number in range(n_customers)])
    )
    walk = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, (n_assets, len(days))), axis=1))  # [assets, days]
    closes = pl.DataFrame(
        {
            c.ASSET_ID: np.repeat(catalogue[c.ASSET_ID].to_numpy(), len(days)).tolist(),
            c.DATE: days * n_assets,
            c.CLOSE: walk.round(4).ravel(),
        },
        schema=prices.CONTRACT.schema,
    )
    trades = _trades(catalogue, people, closes, days, n_trades, rng, as_of)
    signed = pl.when(pl.col(c.SIDE) == "buy").then(c.UNITS).otherwise(-pl.col(c.UNITS))
    held = trades.group_by(c.CUSTOMER_ID, c.ASSET_ID).agg(signed.sum().alias(c.UNITS)).filter(pl.col(c.UNITS) > 0)
    stated = held.with_columns(pl.lit(days[-1]).alias(c.AS_OF_DATE)).select(list(delivered_holdings.CONTRACT.schema))
    return {
        "assets": catalogue,
        "markets": listed,
        "customers": people,
        "prices": closes,
        "transactions": trades,
        "delivered_holdings": stated.sort(delivered_holdings.CONTRACT.key),
        "restricted": _drawn(restricted.CONTRACT, 1, rng, as_of).with_columns(pl.lit(catalogue[c.ASSET_ID][0]).alias(c.ASSET_ID)),
    }


def write_samples(folder: Path, tables: dict[str, pl.DataFrame] | None = None, *, csv: bool = False) -> Path:
    """The tables (by default the sample's) as a landing folder in Nightfolio's layout."""
    folder.mkdir(parents=True, exist_ok=True)
    for table, frame in (sample_tables() if tables is None else tables).items():
        path = folder / f"{FILES[table]}.{'csv' if csv else 'parquet'}"
        frame.write_csv(path) if csv else frame.write_parquet(path)
    return folder


def _drawn(contract: Contract, rows: int, rng: np.random.Generator, as_of: date, *, distinct: bool = False) -> pl.DataFrame:
    """So many rows whose values are drawn from the columns' examples; ``distinct``: the first rows in their order."""
    values: dict[str, list[Any]] = {}
    for column in contract.columns:
        places = range(rows) if distinct else rng.integers(0, len(column.examples), rows)
        values[column.name] = [day_of(column.examples[int(place) % len(column.examples)], as_of) for place in places]
    return pl.DataFrame(values, schema=contract.schema)


def _trades(
    catalogue: pl.DataFrame,
    people: pl.DataFrame,
    closes: pl.DataFrame,
    days: list[date],
    rows: int,
    rng: np.random.Generator,
    as_of: date,
) -> pl.DataFrame:
    """Trades at that day's close, in order of their days; a sale is of half of what an earlier trade bought."""
    drawn = _drawn(transactions.CONTRACT, rows, rng, as_of)
    asset = rng.integers(0, catalogue.height, rows)
    day = np.sort(rng.integers(0, len(days), rows))
    day[-1] = len(days) - 1  # the newest trade is fresh
    who = rng.integers(0, people.height, rows)
    units = rng.integers(1, 20, rows).astype(float)
    close = closes[c.CLOSE].to_numpy().reshape(catalogue.height, len(days))[asset, day]
    side = ["buy"] * rows
    sold: set[int] = set()
    for row in range(rows // 4, rows, 5):
        bought = int(rng.integers(0, row // 2 + 1))
        if bought in sold or side[bought] == "sell" or day[bought] >= day[row]:
            continue
        sold.add(bought)
        who[row], asset[row], side[row], units[row] = who[bought], asset[bought], "sell", units[bought] / 2
        close[row] = closes[c.CLOSE].to_numpy().reshape(catalogue.height, len(days))[asset[row], day[row]]
    return drawn.with_columns(
        pl.Series(c.TRANSACTION_ID, [str(number) for number in range(1, rows + 1)]),
        people[c.CUSTOMER_ID].gather(who.tolist()).alias(c.CUSTOMER_ID),
        catalogue[c.ASSET_ID].gather(asset.tolist()).alias(c.ASSET_ID),
        pl.Series(c.SIDE, side),
        pl.Series(c.DATE, [days[int(place)] for place in day]),
        pl.Series(c.UNITS, units),
        pl.Series(c.VALUE, units * close),
        pl.when(pl.col(c.PRICE).is_not_null()).then(pl.Series(c.PRICE, close)).alias(c.PRICE),
        catalogue[c.MARKET_ID].gather(asset.tolist()).alias(c.MARKET_ID),
    )
