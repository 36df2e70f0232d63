"""Keys, prices and units: fields of the right type that cannot be right."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import polars as pl

from data_contracts.corruptions import sample as s
from data_contracts.corruptions.case import Corruption, blocked, quarantined, repaired, warned
from data_contracts.corruptions.edits import Edit, again, both, cell, cells, column, drop, lines, parquet

# close_prices.csv has the 20 assets of a day side by side: row 1 + 20 d + a is asset a on day d.
# What goes with the last asset where it is not accepted: its closes, trades and positions.
WITH_ITS_ROWS = {"prices": 65, "transactions": 10, "delivered_holdings": 6}


def _closes(asset: int, first: int, last: int, change: Callable[[float], float]) -> Edit:
    """The closes of an asset on the days first to last, changed."""
    rows = [1 + s.ASSETS * day + asset for day in range(first, last + 1)]
    return cells(s.PRICE_FILE, rows, closePrice=lambda text: f"{change(float(text)):.6g}")


def _without(asset: int, first: int, last: int) -> Edit:
    rows = {1 + s.ASSETS * day + asset for day in range(first, last + 1)}
    return drop(s.PRICE_FILE, lambda number, fields: number in rows)


def _shut(market: str, first: int, last: int) -> Edit:
    """Without the closes of a market (of every market) on the days first to last."""
    days = {str(day) for day in s.days()[first : last + 1]}
    gone = {s.isin(asset) for asset in range(s.ASSETS) if market in ("", s.market(asset))}
    return drop(s.PRICE_FILE, lambda number, fields: fields[0] in gone and fields[1] in days)


def _tenfold(line: str) -> str:
    """A trade of ten times the value and units."""
    fields = line.split(",")
    fields[5:7] = [str(10 * float(field)) for field in fields[5:7]]
    return ",".join(fields)


def _residues(frame: pl.DataFrame) -> pl.DataFrame:
    """Two pairs that were never traded, stated with what a sum of fractions leaves."""
    pairs = {"asOf": [s.SNAPSHOT_DAY] * 2, "customerID": [s.customer(0)] * 2, "ISIN": [s.isin(1), s.isin(2)]}
    return frame.vstack(pl.DataFrame({**pairs, "netUnits": [1e-14, -1e-14]}, schema=frame.schema))


KEYS = (
    Corruption(
        "a trade of an unknown customer",
        "keys",
        cell(s.TRADE_FILE, 30, customerID="NOBODY"),
        warned("transactions", "customer_known", 1),
    ),
    Corruption(
        "a customer in small letters",
        "keys",
        cell(s.TRADE_FILE, 30, customerID=str.lower),
        warned("transactions", "customer_known", 1),
    ),
    Corruption(
        "a trade of an unknown asset",
        "keys",
        cell(s.TRADE_FILE, 30, ISIN="IE00B66F4759"),
        quarantined("transactions", "asset_known", 1),
    ),
    Corruption(
        "a letter O for a zero",
        "keys",
        cell(s.TRADE_FILE, 30, ISIN=lambda text: text.replace("0", "O", 1)),
        quarantined("transactions", "asset_known", 1),
    ),
    Corruption(
        "a Greek letter in an ISIN",
        "keys",
        cell(s.TRADE_FILE, 30, ISIN=lambda text: text.replace("E", "Ε").replace("G", "Γ")),
        quarantined("transactions", "asset_known", 1),
    ),
    Corruption(
        "an ISIN in small letters", "keys", cell(s.TRADE_FILE, 30, ISIN=str.lower), repaired("transactions", "isin_spelling", 1)
    ),
    Corruption(
        "blanks behind an ISIN",
        "keys",
        cell(s.PRICE_FILE, 30, ISIN=lambda text: text + "  "),
        repaired("prices", "isin_spelling", 1),
    ),
    Corruption(
        "blanks behind a customer",
        "keys",
        cell(s.TRADE_FILE, 30, customerID=lambda text: text + " "),
        repaired("transactions", "customer_id_blanks", 1),
    ),
    Corruption(
        "a wrong check digit",
        "keys",
        cell(s.ASSET_FILE, 20, ISIN=lambda text: text[:-1] + str((int(text[-1]) + 1) % 10)),
        quarantined("assets", "isin_check_digit", 1, **WITH_ITS_ROWS),
    ),
    Corruption(
        "two digits of an ISIN swapped",
        "keys",
        cell(s.ASSET_FILE, 20, ISIN=lambda text: text[:5] + text[6] + text[5] + text[7:]),
        quarantined("assets", "isin_check_digit", 1, **WITH_ITS_ROWS),
    ),
    Corruption(
        "an ISIN of no country",
        "keys",
        cell(s.ASSET_FILE, 20, ISIN="ZZ0378331001"),
        quarantined("assets", "isin_country", 1, **WITH_ITS_ROWS),
    ),
    Corruption(
        "an unknown class of asset",
        "keys",
        cell(s.ASSET_FILE, 20, assetCategory="Crypto"),
        quarantined("assets", "asset_class_in_set", 1, **WITH_ITS_ROWS),
    ),
    Corruption(
        "an unknown side", "keys", cell(s.TRADE_FILE, 30, transactionType="Swap"), quarantined("transactions", "side_in_set", 1)
    ),
    Corruption(
        "an unknown risk level",
        "keys",
        cell(s.CUSTOMER_FILE, 9, riskLevel="Moderate"),
        quarantined("customers", "risk_level_in_set", 1),
    ),
    Corruption(
        "an unknown band of capacity",
        "keys",
        cell(s.CUSTOMER_FILE, 9, investmentCapacity="CAP_30K_50K"),
        warned("customers", "investment_capacity_known", 1),
        first=True,
    ),
    Corruption(
        "every capacity in the sender's own words",
        "keys",
        column(s.CUSTOMER_FILE, investmentCapacity="30 to 80 thousand"),
        blocked("customers", "investment_capacity_known", 40),
    ),
    Corruption(
        "a new kind of customer",
        "keys",
        cell(s.CUSTOMER_FILE, 9, customerType="Platinum"),
        warned("customers", "no_new_words", 1),
    ),
    Corruption(
        "every customer of one kind",
        "keys",
        column(s.CUSTOMER_FILE, customerType="Mass"),
        warned("customers", "no_words_gone", 1),
    ),
    Corruption("every stock a bond", "keys", column(s.ASSET_FILE, assetCategory="Bond"), warned("assets", "no_words_gone", 1)),
)

PRICES = (
    Corruption("a close of zero", "prices", cell(s.PRICE_FILE, 30, closePrice="0"), quarantined("prices", "close_above_0", 1)),
    Corruption(
        "a negative close", "prices", cell(s.PRICE_FILE, 30, closePrice="-25.4"), quarantined("prices", "close_above_0", 1)
    ),
    Corruption(
        "a close a hundred times too high",
        "prices",
        _closes(4, 20, 20, lambda x: x * 100),
        quarantined("prices", "price_outlier", 1),
    ),
    Corruption(
        "two closes a tenth of what they were",
        "prices",
        _closes(4, 20, 21, lambda x: x / 10),
        quarantined("prices", "price_outlier", 2),
    ),
    Corruption("a split that is not adjusted", "prices", _closes(4, 40, 64, lambda x: x / 4), warned("prices", "price_split", 1)),
    Corruption(
        "another currency from a day on",
        "prices",
        _closes(4, 40, 64, lambda x: x * 131.4),
        warned("prices", "price_level_shift", 1),
    ),
    Corruption("a jump on the last day", "prices", _closes(4, 64, 64, lambda x: x * 2), warned("prices", "price_jump", 1)),
    Corruption(
        "the last close carried forward", "prices", _closes(4, 30, 64, lambda x: 25.5), warned("prices", "price_unchanged", 1)
    ),
    Corruption("ten days without a close", "prices", _without(4, 30, 39), warned("prices", "price_missing", 1, prices=10)),
    Corruption("no close since eight days", "prices", _without(4, 57, 64), warned("prices", "price_stale", 1, prices=8)),
    Corruption(
        "a week without a close of one market",
        "prices",
        _shut("XATH", 30, 34),
        warned("prices", "price_market_gap", 1, prices=35),
        first=True,
    ),
    Corruption(
        "a week without any close", "prices", _shut("", 30, 34), warned("prices", "price_market_gap", 3, prices=100), first=True
    ),
    Corruption(
        "one market's closes of the last week missing",
        "prices",
        _shut("XLON", 60, 64),
        warned("prices", "price_market_stale", 1, prices=30),
        first=True,
    ),
    Corruption(
        "no closes of Mondays",
        "prices",
        drop(s.PRICE_FILE, lambda number, fields: date.fromisoformat(fields[1]).weekday() == 0),
        warned("prices", "price_market_sparse", 3, prices=260),
        first=True,
    ),
    Corruption(
        "no close of an asset that is traded",
        "prices",
        _without(4, 0, 64),
        warned("transactions", "asset_has_close", 10, prices=65),
        first=True,
    ),
    Corruption(
        "closes of an asset that begin late",
        "prices",
        _without(4, 0, 49),
        warned("transactions", "trade_before_listing", 4, prices=50),
        first=True,
    ),
    Corruption(
        "two closes of one day",
        "prices",
        again(s.PRICE_FILE, 30, closePrice="25.01"),
        quarantined("prices", "key_conflict", 2, prices=1),
    ),
    Corruption(
        "a close of another asset", "prices", cell(s.PRICE_FILE, 30, ISIN=s.isin(10)), quarantined("prices", "key_conflict", 2)
    ),
)

UNITS = (
    Corruption("negative units", "units", cell(s.TRADE_FILE, 30, units="-14"), quarantined("transactions", "units_above_0", 1)),
    Corruption("units of zero", "units", cell(s.TRADE_FILE, 30, units="0"), quarantined("transactions", "units_above_0", 1)),
    Corruption(
        "a negative value",
        "units",
        cell(s.TRADE_FILE, 30, totalValue=lambda text: f"-{text}"),
        quarantined("transactions", "value_not_negative", 1),
    ),
    Corruption(
        "a sale with a sign",
        "units",
        cell(s.TRADE_FILE, 125, units=lambda text: f"-{text}", totalValue=lambda text: f"-{text}"),
        quarantined("transactions", "units_above_0", 1),
    ),
    Corruption(
        "units in thousands",
        "units",
        cell(s.TRADE_FILE, 30, units=lambda text: f"{text}000"),
        warned("transactions", "trade_price_near_close", 1),
    ),
    Corruption(
        "a value in cents",
        "units",
        cell(s.TRADE_FILE, 30, totalValue=lambda text: str(float(text) * 100)),
        warned("transactions", "trade_price_near_close", 1),
    ),
    Corruption(
        "a value of nothing", "units", cell(s.TRADE_FILE, 30, totalValue="0"), warned("transactions", "trade_price_near_close", 1)
    ),
    Corruption(
        "more sold than was held",
        "units",
        cell(s.TRADE_FILE, 150, units=lambda t: str(int(t) * 4), totalValue=lambda t: str(float(t) * 4)),
        warned("transactions", "sell_beyond_holdings", 1),
    ),
    Corruption(
        "a purchase lost that was sold later",
        "units",
        both(
            parquet(s.HOLDINGS_FILE, lambda f: f.filter(pl.col("customerID") != s.customer(29))),
            drop(s.TRADE_FILE, lambda number, fields: number == 30),
        ),
        warned("transactions", "sell_beyond_holdings", 1, transactions=1, delivered_holdings=3),
    ),
    Corruption(
        "every sale ten times as large",
        "units",
        lines(s.TRADE_FILE, lambda every: [line if ",Sell," not in line else _tenfold(line) for line in every]),
        blocked("transactions", "sell_beyond_holdings", 27),
    ),
    Corruption(
        "holdings in hundreds of shares",
        "units",
        parquet(s.HOLDINGS_FILE, lambda f: f.with_columns(pl.col("netUnits") / 100)),
        blocked("delivered_holdings", "reconciled_with_trades", 120),
    ),
    Corruption(
        "a negative position",
        "units",
        parquet(
            s.HOLDINGS_FILE,
            lambda f: f.with_columns(pl.when(pl.int_range(pl.len()) == 70).then(-5.0).otherwise("netUnits").alias("netUnits")),
        ),
        warned("delivered_holdings", "holding_not_negative", 1),
    ),
    Corruption(
        "residues of sums",
        "units",
        parquet(s.HOLDINGS_FILE, _residues),
        repaired("delivered_holdings", "units_residue", 2, delivered_holdings=-2),
    ),
)
