"""The small sound delivery of ``sample`` in Nightfolio's own layout: closes and trades as folders of monthly Parquet files.

The same customers, assets, closes and trades; what FAR-Trans states in its own words is said in those of ``columns``.
"""

from __future__ import annotations

from datetime import date
from functools import cache
from pathlib import Path
from typing import Final

import polars as pl

from data_contracts.corruptions import sample as s

CUSTOMERS: Final = "customers.csv"
ASSETS: Final = "assets.csv"
MARKETS: Final = "markets.csv"
RESTRICTED: Final = "restricted.csv"
HOLDINGS: Final = "holdings.parquet"
MONTHS: Final = ("2021-04", "2021-05", "2021-06")
PRICE_PARTS: Final = tuple(f"prices/{month}.parquet" for month in MONTHS)
TRADE_PARTS: Final = tuple(f"transactions/{month}.parquet" for month in MONTHS)
_RISKS: Final = ("income", "balanced", "aggressive", "conservative")


def write_own_sample(folder: Path) -> Path:
    """Writes the delivery into ``folder``."""
    for name in ("prices", "transactions"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name, frame in _tables().items():
        frame.write_parquet(folder / name) if name.endswith(".parquet") else frame.write_csv(folder / name)
    return folder


def in_month(frame: pl.DataFrame, month: str) -> pl.DataFrame:
    """The rows dated in a month, 2021-04 or so."""
    return frame.filter(pl.col("date").dt.strftime("%Y-%m") == month)


@cache
def _tables() -> dict[str, pl.DataFrame]:
    tables = {CUSTOMERS: _customers(), ASSETS: _assets(), MARKETS: _markets(), RESTRICTED: _restricted(), HOLDINGS: _holdings()}
    for month, prices, trades in zip(MONTHS, PRICE_PARTS, TRADE_PARTS, strict=True):
        tables |= {prices: in_month(_prices(), month), trades: in_month(_trades(), month)}
    return tables


def _customers() -> pl.DataFrame:
    numbers = range(s.CUSTOMERS)
    return pl.DataFrame(
        {
            "customer_id": [s.customer(n) for n in numbers],
            "customer_type": [("mass", "premium")[n % 2] for n in numbers],
            "risk_level": [_RISKS[n % 4] for n in numbers],
            "risk_predicted": [n % 5 == 0 for n in numbers],
            "investment_capacity": ["cap_30k_80k"] * s.CUSTOMERS,
            "capacity_predicted": [False] * s.CUSTOMERS,
            "last_questionnaire_date": [date(2019, 3, 1 + n % 28) for n in numbers],
            "valid_from": [date(2020, 1, 1 + n % 28) for n in numbers],
        }
    )


def _assets() -> pl.DataFrame:
    numbers = range(s.ASSETS)
    return pl.DataFrame(
        {
            "asset_id": [s.isin(n) for n in numbers],
            "asset_name": [f"Company {n:02d}" for n in numbers],
            "asset_class": ["stock"] * s.ASSETS,
            "market_id": [s.market(n) for n in numbers],
            "sector": ["Utilities"] * s.ASSETS,
            "risk_class": [1 + n % 4 for n in numbers],
            "valid_from": [date(2018, 1, 2)] * s.ASSETS,
        }
    )


def _markets() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "market_id": ["XATH", "XETR", "XLON"],
            "name": ["Athens Exchange", "Xetra", "London Stock Exchange"],
            "country": ["Greece", "Germany", "United Kingdom"],
            "trading_days": ["Mon,Tue,Wed,Thu,Fri"] * 3,
        }
    )


def _restricted() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "asset_id": [s.isin(0), s.isin(1)],
            "list_kind": ["restricted", "watch"],
            "valid_from": [date(2021, 1, 4)] * 2,
            "valid_to": [None, date(2021, 12, 31)],
            "reason": ["insider list", "takeover"],
        }
    )


def _prices() -> pl.DataFrame:
    rows = [(s.isin(n), day, s.close(n, place)) for place, day in enumerate(s.days()) for n in range(s.ASSETS)]
    return pl.DataFrame(rows, schema=["asset_id", "date", "close"], orient="row")


def _trades() -> pl.DataFrame:
    dates, rows = s.days(), []
    for number in range(s.TRADES):
        who, what, side, day, units = s.trade(number)
        close = s.close(what, day)
        channel = ("internet banking", "branch", "phone banking")[number % 3]
        start = (str(1000 + number), s.customer(who), s.isin(what), side.lower(), dates[day])
        rows.append((*start, round(units * close, 4), float(units), close, channel, s.market(what)))
    names = ["transaction_id", "customer_id", "asset_id", "side", "date", "value", "units", "price", "channel", "market_id"]
    return pl.DataFrame(rows, schema=names, orient="row")


def _holdings() -> pl.DataFrame:
    """Net units of every pair on the day of the statement."""
    signed = pl.when(pl.col("side") == "buy").then(pl.col("units")).otherwise(-pl.col("units"))
    stated = _trades().filter(pl.col("date") <= s.SNAPSHOT_DAY)
    net = stated.group_by("customer_id", "asset_id", maintain_order=True).agg(signed.sum().alias("units"))
    return net.select(pl.lit(s.SNAPSHOT_DAY).alias("as_of_date"), "customer_id", "asset_id", "units")
