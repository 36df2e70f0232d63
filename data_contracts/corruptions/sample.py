"""A small sound delivery under FAR-Trans' file and column names: 40 customers, 20 assets, 3 markets, 65 days, 200 trades.

It is worked out by arithmetic alone, without chance, and breaks no rule of any contract: whatever a check says of a
spoilt copy of it comes from what was spoilt.
"""

from __future__ import annotations

import hashlib
import io
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Final

import polars as pl

AS_OF: Final = date(2021, 6, 30)
FIRST_DAY: Final = date(2021, 4, 1)
CUSTOMERS, ASSETS, TRADES = 40, 20, 200
BARE_TRADES = 4  # the last rows of transactions.csv: a day and no amount
BARE_DAY = 60  # number of that day
SNAPSHOT_DAY: Final = date(2021, 5, 31)

_MARKETS = (
    ("XATH", "Athens Exchange", "Greece"),
    ("XETR", "Xetra", "Germany"),
    ("XLON", "London Stock Exchange", "United Kingdom"),
)
_COUNTRY = {"XATH": "GR", "XETR": "DE", "XLON": "GB"}
_TYPES = ("Mass", "Premium")
_RISKS = ("Income", "Balanced", "Aggressive", "Conservative")
_CHANNELS = ("Internet Banking", "Branch", "Phone Banking")

CUSTOMER_FILE: Final = "customer_information.csv"
ASSET_FILE: Final = "asset_information.csv"
PRICE_FILE: Final = "close_prices.csv"
TRADE_FILE: Final = "transactions.csv"
MARKET_FILE: Final = "markets.csv"
RESTRICTED_FILE: Final = "restricted_list.csv"
HOLDINGS_FILE: Final = "holdings_snapshots.parquet"
PROVENANCE_FILE: Final = "transactions_provenance.csv"


def days() -> list[date]:
    """The weekdays from FIRST_DAY to AS_OF: 65 of them."""
    every = (FIRST_DAY + timedelta(days=n) for n in range((AS_OF - FIRST_DAY).days + 1))
    return [day for day in every if day.weekday() < 5]


def customer(number: int) -> str:
    """Identifier of a customer, 20 capitals and digits."""
    return hashlib.sha256(f"customer {number}".encode()).hexdigest()[:20].upper()


def market(asset: int) -> str:
    """Market of an asset."""
    return _MARKETS[asset % len(_MARKETS)][0]


def isin(asset: int) -> str:
    """ISIN of an asset, with its check digit (ISO 6166)."""
    body = f"{_COUNTRY[market(asset)]}{100_000_000 + 7_919 * asset}"
    digits = "".join(str(int(one, 36)) for one in body)
    doubled = (int(digit) * (2 if place % 2 == 0 else 1) for place, digit in enumerate(reversed(digits)))
    return f"{body}{-sum(sum(divmod(value, 10)) for value in doubled) % 10}"


def close(asset: int, day: int) -> float:
    """Close of an asset on the day of that number, EUR: never twice the same in a row, moves of 2 % at most."""
    return round((12.5 + 3.25 * asset) * (1 + ((day * 7 + asset * 3) % 11 - 5) / 1000), 4)


def trade(number: int) -> tuple[int, int, str, int, int]:
    """Customer, asset, side, day and units of a trade. Of five trades of a customer the fourth sells half the first."""
    who, turn = number % CUSTOMERS, number // CUSTOMERS
    sells = turn == 3
    what = (who * 3 + (0 if sells else turn * 7)) % ASSETS
    units = 10 + 2 * (who % 7)
    day = BARE_DAY if number >= TRADES - BARE_TRADES else number * len(days()) // TRADES
    return who, what, "Sell" if sells else "Buy", day, units // 2 if sells else units


@cache
def sample_files() -> dict[str, bytes]:
    """Every file of the delivery by its name; transactions_provenance.csv is apart, see ``provenance``."""
    dates = days()
    people = [
        f"{customer(n)},{_TYPES[n % 2]},{_RISKS[n % 4]},CAP_30K_80K,2019-03-{1 + n % 28:02d},2020-01-{1 + n % 28:02d}"
        for n in range(CUSTOMERS)
    ]
    things = [
        f"{isin(n)},Company {n:02d},C{n:02d},Stock,Common Stock,{market(n)},Utilities,Water,2018-01-02" for n in range(ASSETS)
    ]
    closes = [f"{isin(n)},{day},{close(n, place)}" for place, day in enumerate(dates) for n in range(ASSETS)]
    places = [
        f'EX{n},{code},{name},"Shares, bonds",{land},"Mon,Tue,Wed,Thu,Fri",' for n, (code, name, land) in enumerate(_MARKETS)
    ]
    listed = [f"{isin(0)},restricted,2021-01-04,,insider list", f"{isin(1)},watch,2021-01-04,2021-12-31,takeover"]
    snapshot = io.BytesIO()
    _positions().write_parquet(snapshot)
    return {
        CUSTOMER_FILE: _csv("customerID,customerType,riskLevel,investmentCapacity,lastQuestionnaireDate,timestamp", people),
        ASSET_FILE: _csv(
            "ISIN,assetName,assetShortName,assetCategory,assetSubCategory,marketID,sector,industry,timestamp", things
        ),
        PRICE_FILE: _csv("ISIN,timestamp,closePrice", closes),
        TRADE_FILE: _csv(
            "customerID,ISIN,transactionID,transactionType,timestamp,totalValue,units,channel,marketID",
            [_trade_line(n, dates) for n in range(TRADES)],
        ),
        MARKET_FILE: _csv("exchangeID,marketID,name,description,country,tradingDays,tradingHours", places),
        RESTRICTED_FILE: _csv("asset_id,list_kind,valid_from,valid_to,reason", listed),
        HOLDINGS_FILE: snapshot.getvalue(),
    }


def provenance() -> bytes:
    """transactions_provenance.csv: every trade in full, but for the bare ones, which happened within three days of theirs."""
    dates = days()
    lines = []
    for number in range(TRADES):
        day = dates[trade(number)[3]]
        bare = number >= TRADES - BARE_TRADES
        first, width = (day - timedelta(days=3), 6) if bare else (day, 0)
        lines.append(f"{number},{'first_buy_window' if bare else 'full'},{first},{first + timedelta(days=width)},{width}")
    return _csv("row,source,dateFrom,dateTo,dateWindowDays", lines)


def write_sample(folder: Path) -> Path:
    """Writes the delivery into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in sample_files().items():
        (folder / name).write_bytes(content)
    return folder


def _csv(header: str, lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in [header, *lines]).encode()


def _trade_line(number: int, dates: list[date]) -> str:
    who, what, side, day, units = trade(number)
    start = f"{customer(who)},{isin(what)}"
    if number >= TRADES - BARE_TRADES:
        return f"{start},,{side},{dates[day]},,,,"
    value = round(units * close(what, day), 4)
    return f"{start},{1000 + number},{side},{dates[day]},{value},{units},{_CHANNELS[number % 3]},{market(what)}"


def _positions() -> pl.DataFrame:
    """Net units of every pair on SNAPSHOT_DAY, as holdings_snapshots.parquet states them."""
    dates, net = days(), dict[tuple[str, str], float]()
    for number in range(TRADES):
        who, what, side, day, units = trade(number)
        if dates[day] <= SNAPSHOT_DAY:
            pair = customer(who), isin(what)
            net[pair] = net.get(pair, 0.0) + (units if side == "Buy" else -units)
    return pl.DataFrame(
        {
            "asOf": [SNAPSHOT_DAY] * len(net),
            "customerID": [pair[0] for pair in net],
            "ISIN": [pair[1] for pair in net],
            "netUnits": list(net.values()),
        }
    )
