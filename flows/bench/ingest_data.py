"""Simulated deliveries of any number of trades, in Nightfolio's own Parquet layout, for ``nightfolio bench ingest``.

The embedded market (``data_contracts.simulate``) gives every purchase a reason, which takes a second per twenty thousand
trades. Here only the shapes matter, so all is drawn in arrays: customers with 25 trades each in the mean, assets of
unequal popularity, closes that walk at random, purchases near the day's close, and sales of half of what was bought
earlier. All of it keeps the contracts. Written month by month: transactions/YYYY-MM.parquet, prices/YYYY-MM.parquet.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

ASSETS = 500
YEARS = 5
TRADES_PER_CUSTOMER = 25
SELL_SHARE = 1 / 7  # of all trades
_ROW_GROUP = 1 << 18  # rows

Ints = npt.NDArray[np.integer]


@dataclass(frozen=True)
class Delivery:
    """What was written, and how to ask for it again."""

    trades: int
    seed: int
    first_day: str
    last_day: str
    version: int = 1


def make_delivery(folder: Path, trades: int, seed: int = 0, last_day: date = date(2024, 6, 28)) -> Delivery:
    """Writes the landing folder of ``trades`` trades up to ``last_day``; leaves one as it is that is there already."""
    calendar = _business_days(last_day)
    delivery = Delivery(trades, seed, str(calendar[0]), str(last_day))
    note = folder / "delivery.json"
    if note.exists() and json.loads(note.read_text(encoding="utf-8")) == asdict(delivery):
        return delivery
    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng([seed, trades])
    isins = _isins()
    closes = 50.0 * np.exp(np.cumsum(draw.normal(2e-4, 0.012, (len(calendar), ASSETS)), axis=0))  # [D, A]
    _write_assets(folder, isins, calendar)
    _write_customers(folder, max(trades // TRADES_PER_CUSTOMER, 10), calendar, draw)
    _write_prices(folder, isins, calendar, closes.round(4))
    _write_trades(folder, isins, calendar, closes.round(4), trades, draw)
    note.write_text(json.dumps(asdict(delivery)) + "\n", encoding="utf-8")
    return delivery


def add_a_day(folder: Path, into: Path, seed: int = 1) -> date:
    """The same delivery a business day later in the folder ``into``: old files linked, the new day's rows in files of its own."""
    delivery = json.loads((folder / "delivery.json").read_text(encoding="utf-8"))
    today = date.fromisoformat(delivery["last_day"])
    day = today + timedelta(days=3 if today.weekday() == 4 else 1)
    for file in sorted(folder.rglob("*.parquet")):
        to = into / file.relative_to(folder)
        to.parent.mkdir(parents=True, exist_ok=True)
        to.unlink(missing_ok=True)
        to.hardlink_to(file)
    newest = max((folder / "prices").glob("*.parquet"))
    closes = pl.read_parquet(newest).filter(pl.col("date") == today)
    draw = np.random.default_rng(seed)
    moved = (closes["close"].to_numpy() * np.exp(draw.normal(0, 0.012, closes.height))).round(4)
    closes = closes.with_columns(pl.lit(day).alias("date"), pl.Series("close", moved))
    closes.write_parquet(into / "prices" / f"{day}.parquet")
    count = max(delivery["trades"] // (YEARS * 260), 10)
    asset = draw.integers(0, closes.height, count)
    customer = draw.integers(0, max(delivery["trades"] // TRADES_PER_CUSTOMER, 10), count)
    number = delivery["trades"] + np.arange(count)
    frame = _trades(number, customer, asset, np.ones(count, np.bool_), draw, closes["asset_id"], moved[asset])
    frame.with_columns(pl.lit(day).alias("date")).select(_COLUMNS).write_parquet(into / "transactions" / f"{day}.parquet")
    return day


_COLUMNS = ("transaction_id", "customer_id", "asset_id", "side", "date", "value", "units", "channel", "market_id")
_CHANNELS = pl.Series(["app", "branch", "phone"])
_MARKETS = pl.Series(["XNGS", "XLON", "XETR", "XATH"])


def _business_days(last: date) -> list[date]:
    days = [last - timedelta(days=back) for back in range(YEARS * 365)]
    return sorted(day for day in days if day.weekday() < 5)


def _isins() -> pl.Series:
    """[A] ISINs with their check digits (ISO 6166)."""
    listed = []
    for number in range(ASSETS):
        body = f"US{37833100 + 7919 * number:09d}"
        digits = "".join(str(int(letter, 36)) for letter in body)
        doubled = [int(d) * (2 if place % 2 == 0 else 1) for place, d in enumerate(reversed(digits))]
        listed.append(f"{body}{-sum(d // 10 + d % 10 for d in doubled) % 10}")
    return pl.Series("asset_id", listed)


def _write_assets(folder: Path, isins: pl.Series, calendar: list[date]) -> None:
    number = pl.int_range(ASSETS, eager=True)
    pl.DataFrame(
        {
            "asset_id": isins,
            "asset_name": pl.select(pl.format("Company {}", number)).to_series(),
            "asset_class": ["stock"] * ASSETS,
            "asset_subclass": ["ordinary"] * ASSETS,
            "market_id": _MARKETS.gather(number % 4),
            "sector": pl.Series(["energy", "health", "finance", "industry", "retail"]).gather(number % 5),
            "valid_from": [calendar[0]] * ASSETS,
        }
    ).write_parquet(folder / "assets.parquet")
    pl.DataFrame({"market_id": _MARKETS, "name": _MARKETS, "trading_days": ["Mon,Tue,Wed,Thu,Fri"] * 4}).write_parquet(
        folder / "markets.parquet"
    )


def _write_customers(folder: Path, count: int, calendar: list[date], draw: np.random.Generator) -> None:
    number = np.arange(count)
    pl.DataFrame(
        {
            "customer_id": _customer_ids(number),
            "customer_type": pl.Series(["mass", "premium"]).gather(draw.integers(0, 2, count)),
            "risk_level": pl.Series(["conservative", "income", "balanced", "aggressive"]).gather(draw.integers(0, 4, count)),
            "investment_capacity": pl.Series(["cap_lt_30k", "cap_30k_80k"]).gather(draw.integers(0, 2, count)),
            "valid_from": pl.Series([calendar[0]]).gather(np.zeros(count, np.uint32)),
        }
    ).write_parquet(folder / "customers.parquet", row_group_size=_ROW_GROUP)


def _customer_ids(number: Ints) -> pl.Series:
    # Spread over the alphabet, so that the order of the numbers is not the order of the text.
    return pl.select(pl.format("C{}", pl.Series(number * 7_919 % 10_000_019).cast(pl.String).str.zfill(8))).to_series()


def _write_prices(folder: Path, isins: pl.Series, calendar: list[date], closes: npt.NDArray[np.float64]) -> None:
    (folder / "prices").mkdir(exist_ok=True)
    for month, days in _months(calendar).items():
        place = np.repeat(days, ASSETS)
        frame = {
            "asset_id": isins.gather(np.tile(np.arange(ASSETS), len(days))),
            "date": pl.Series(calendar).gather(place),
            "close": closes[days].ravel(),
        }
        pl.DataFrame(frame).write_parquet(folder / "prices" / f"{month}.parquet")


def _write_trades(
    folder: Path, isins: pl.Series, calendar: list[date], closes: npt.NDArray[np.float64], trades: int, draw: np.random.Generator
) -> None:
    """Trades in the order of their day. Arrays of all trades at once: 14 bytes each."""
    n_sales = int(trades * SELL_SHARE)
    n_buys = trades - n_sales
    n_customers, n_days = max(trades // TRADES_PER_CUSTOMER, 10), len(calendar)
    # The square of a uniform number: a fifth of the customers make 45 % of the trades, a fifth of the assets as many.
    customer = (draw.random(n_buys, np.float32) ** 2 * n_customers).astype(np.int32).clip(0, n_customers - 1)
    asset = (draw.random(n_buys, np.float32) ** 2 * ASSETS).astype(np.int16)
    day = draw.integers(0, n_days, n_buys, dtype=np.int16)
    # Every sale is of half of one earlier purchase of its own: nobody sells what he does not hold.
    sold = slice(0, n_sales)
    day_sold = (day[sold] + draw.random(n_sales, np.float32) * (n_days - day[sold])).astype(np.int16).clip(0, n_days - 1)
    units = draw.integers(1, 200, n_buys, dtype=np.int16)
    customer = np.concatenate([customer, customer[sold]])
    asset = np.concatenate([asset, asset[sold]])
    units_all = np.concatenate([units.astype(np.float32), units[sold] / np.float32(2)])
    buys = np.arange(trades) < n_buys
    day = np.concatenate([day, day_sold])
    order = np.argsort(day, kind="stable")  # a radix sort
    starts = np.searchsorted(day[order], np.arange(n_days + 1))
    (folder / "transactions").mkdir(exist_ok=True)
    for month, days in _months(calendar).items():
        first, last = starts[days[0]], starts[days[-1] + 1]
        rows = order[first:last]
        price = closes[day[rows], asset[rows]]
        frame = _trades(np.arange(first, last), customer[rows], asset[rows], buys[rows], draw, isins, price, units_all[rows])
        frame = frame.with_columns(pl.Series(calendar).gather(day[rows].astype(np.uint32)).alias("date"))
        frame.select(_COLUMNS).write_parquet(folder / "transactions" / f"{month}.parquet", row_group_size=_ROW_GROUP)


def _trades(
    number: Ints,
    customer: Ints,
    asset: Ints,
    buys: npt.NDArray[np.bool_],
    draw: np.random.Generator,
    isins: pl.Series,
    price: npt.NDArray[np.float64],
    units: npt.NDArray[np.float32] | None = None,
) -> pl.DataFrame:
    """Rows but for their date."""
    n = len(number)
    shares = (draw.integers(1, 200, n) if units is None else units).astype(np.float64)
    paid = (shares * price * (1 + draw.normal(0, 0.004, n))).round(2)
    return pl.DataFrame(
        {
            "transaction_id": pl.Series(number).cast(pl.String),
            "customer_id": _customer_ids(customer.astype(np.int64)),
            "asset_id": isins.gather(asset.astype(np.uint32)),
            "side": pl.Series(["sell", "buy"]).gather(buys.astype(np.uint32)),
            "value": paid,
            "units": shares,
            "channel": _CHANNELS.gather(draw.integers(0, 3, n)),
            "market_id": _MARKETS.gather(asset.astype(np.uint32) % 4),
        }
    )


def _months(calendar: list[date]) -> dict[str, Ints]:
    """Places of each month's days in the calendar."""
    names = np.array([f"{day:%Y-%m}" for day in calendar])
    return {str(month): np.flatnonzero(names == month) for month in np.unique(names)}
