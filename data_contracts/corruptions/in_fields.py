"""Types, nulls and dates: fields that are not what their column says."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl

from data_contracts.corruptions import sample as s
from data_contracts.corruptions.case import Corruption, blocked, quarantined, refused, repaired, warned, withheld
from data_contracts.corruptions.edits import Value, again, cell, cells, column, parquet
from data_contracts.corruptions.in_values import WITH_ITS_ROWS


def _price(name: str, value: str) -> Corruption:
    return Corruption(name, "types", cell(s.PRICE_FILE, 30, closePrice=value), quarantined("prices", "type", 1))


def _day(name: str, value: Value, rule: str = "type") -> Corruption:
    return Corruption(name, "types", cell(s.PRICE_FILE, 30, timestamp=value), quarantined("prices", rule, 1))


def _units(name: str, value: str) -> Corruption:
    return Corruption(name, "types", cell(s.TRADE_FILE, 30, units=value), quarantined("transactions", "type", 1))


def _day_month(text: str) -> str:
    return date.fromisoformat(text).strftime("%d/%m/%Y")


def _bare_day(text: str) -> str:
    day = date.fromisoformat(text)
    return f"{day.year}-{day.month}-{day.day}"


TYPES = (
    _price("a word for a number", "twelve"),
    _price("NaN", "NaN"),
    _price("infinity", "inf"),
    _price("a number beyond all numbers", "1e400"),
    _price("a hexadecimal number", "0x1F"),
    _price("a truth value for a number", "true"),
    _price("a currency sign", "€12.40"),
    _price("a percent sign", "12.4%"),
    _price("digits of full width", "１２.４"),
    _price("an error of a spreadsheet", "#DIV/0!"),
    _units("a number with its unit", "10 pcs"),
    _units("a negative number in brackets", "(10)"),
    _units("a number in words of a bookkeeper", "10,-".replace(",", "")),
    _day("day, month, year", _day_month),
    _day("a day that does not exist", "2021-02-30"),
    _day("seconds since 1970", "1624924800"),
    _day("the day number of a spreadsheet", "44376"),
    _day("a year of two digits", lambda text: text[2:], "date_not_before_1990"),
    Corruption(
        "a day with a time and a zone",
        "types",
        cell(s.PRICE_FILE, 30, timestamp=lambda text: f"{text}T00:00:00Z"),
        warned("prices", "schema_retyped_column", 1),
    ),
    _day("a month in letters", "29 Jun 2021"),
    _day("a day without separators", lambda text: text.replace("-", "")),
    Corruption(
        "a day without leading zeros",
        "types",
        cell(s.PRICE_FILE, 30, timestamp=_bare_day),
        repaired("prices", "date_padded", 1),
    ),
    Corruption(
        "every day without leading zeros",
        "types",
        column(s.TRADE_FILE, timestamp=_bare_day),
        repaired("transactions", "date_padded", 200),
    ),
    Corruption(
        "every day as day, month, year", "types", column(s.PRICE_FILE, timestamp=_day_month), blocked("prices", "type", 1300)
    ),
    Corruption(
        "a Parquet column of whole numbers for days",
        "types",
        parquet(s.HOLDINGS_FILE, lambda f: f.with_columns(pl.col("asOf").dt.strftime("%Y%m%d").cast(pl.Int64))),
        refused(s.HOLDINGS_FILE, "column as_of_date is of type Int64, which cannot be read as Date"),
    ),
    Corruption(
        "a Parquet column of truth values for units",
        "types",
        parquet(s.HOLDINGS_FILE, lambda f: f.with_columns(pl.col("netUnits") > 0)),
        refused(s.HOLDINGS_FILE, "column units is of type Boolean, which cannot be read as Float64"),
    ),
    Corruption(
        "NaN in a Parquet column",
        "types",
        parquet(
            s.HOLDINGS_FILE,
            lambda f: f.with_columns(
                pl.when(pl.int_range(pl.len()) == 3).then(float("nan")).otherwise("netUnits").alias("netUnits")
            ),
        ),
        quarantined("delivered_holdings", "type", 1),
    ),
)

NULLS = (
    Corruption("no close", "nulls", cell(s.PRICE_FILE, 30, closePrice=""), quarantined("prices", "close_not_null", 1)),
    Corruption("NULL for a close", "nulls", cell(s.PRICE_FILE, 30, closePrice="NULL"), quarantined("prices", "type", 1)),
    Corruption("a dash for units", "nulls", cell(s.TRADE_FILE, 30, units="-"), quarantined("transactions", "type", 1)),
    Corruption("N/A for an identifier", "nulls", cell(s.CUSTOMER_FILE, 9, customerID="N/A"), quarantined("customers", "type", 1)),
    Corruption(
        "no customer in a trade",
        "nulls",
        cell(s.TRADE_FILE, 30, customerID=""),
        quarantined("transactions", "customer_id_not_null", 1),
    ),
    Corruption(
        "blanks for a customer",
        "nulls",
        cell(s.TRADE_FILE, 30, customerID="    "),
        quarantined("transactions", "customer_id_not_null", 1),
    ),
    Corruption(
        "no identifier of a customer",
        "nulls",
        cell(s.CUSTOMER_FILE, 9, customerID=""),
        quarantined("customers", "customer_id_not_null", 1),
    ),
    Corruption(
        "no asset in a trade", "nulls", cell(s.TRADE_FILE, 30, ISIN=""), quarantined("transactions", "asset_id_not_null", 1)
    ),
    Corruption(
        "no day of a trade", "nulls", cell(s.TRADE_FILE, 30, timestamp=""), quarantined("transactions", "date_not_null", 1)
    ),
    Corruption(
        "no side of a trade", "nulls", cell(s.TRADE_FILE, 30, transactionType=""), quarantined("transactions", "side_not_null", 1)
    ),
    Corruption(
        "no valid_from of a customer",
        "nulls",
        cell(s.CUSTOMER_FILE, 9, timestamp=""),
        quarantined("customers", "valid_from_not_null", 1),
    ),
    Corruption(
        "value without units", "nulls", cell(s.TRADE_FILE, 30, units=""), warned("transactions", "amount_not_half_known", 1)
    ),
    Corruption(
        "units without value", "nulls", cell(s.TRADE_FILE, 30, totalValue=""), warned("transactions", "amount_not_half_known", 1)
    ),
    Corruption(
        "no risk level in any row", "nulls", column(s.CUSTOMER_FILE, riskLevel=""), warned("customers", "risk_level_not_lost", 40)
    ),
    Corruption("no sector in any row", "nulls", column(s.ASSET_FILE, sector=""), warned("assets", "values_not_lost", 1)),
    Corruption(
        "amounts of some trades lost",
        "nulls",
        cells(s.TRADE_FILE, range(1, 31), totalValue="", units=""),
        warned("transactions", "amounts_not_lost", 1),
        first=True,
    ),
    Corruption(
        "amounts of all trades lost",
        "nulls",
        column(s.TRADE_FILE, totalValue="", units=""),
        warned("transactions", "values_not_lost", 1),
    ),
    Corruption("no name of a market", "nulls", cell(s.MARKET_FILE, 2, name=""), blocked("markets", "quarantine_share", 1)),
)


def _later(days: int) -> str:
    return str(s.AS_OF + timedelta(days=days))


DATES = (
    Corruption(
        "a trade of tomorrow",
        "dates",
        cell(s.TRADE_FILE, 200, timestamp=_later(1)),
        blocked("transactions", "date_not_after_as_of", 1),
    ),
    Corruption(
        "a trade of tomorrow, replayed",
        "dates",
        cell(s.TRADE_FILE, 200, timestamp=_later(1)),
        withheld("transactions", 1),
        "withhold",
    ),
    Corruption(
        "a close of tomorrow",
        "dates",
        again(s.PRICE_FILE, 1300, timestamp=_later(1)),
        blocked("prices", "date_not_after_as_of", 1),
    ),
    Corruption(
        "a trade in a year of five digits",
        "dates",
        cell(s.TRADE_FILE, 30, timestamp="20210-04-12"),
        quarantined("transactions", "type", 1),
    ),
    Corruption(
        "a trade of 2201",
        "dates",
        cell(s.TRADE_FILE, 30, timestamp="2201-04-12"),
        blocked("transactions", "date_not_after_as_of", 1),
    ),
    Corruption(
        "a trade of 1900",
        "dates",
        cell(s.TRADE_FILE, 30, timestamp="1900-01-01"),
        quarantined("transactions", "date_not_before_1990", 1),
    ),
    Corruption(
        "an asset of 1970",
        "dates",
        cell(s.ASSET_FILE, 3, timestamp="1970-01-01"),
        quarantined("assets", "valid_from_not_before_1990", 1, **WITH_ITS_ROWS),
    ),
    Corruption(
        "an asset described after its trades",
        "dates",
        cell(s.ASSET_FILE, 5, timestamp="2021-06-25"),
        warned("transactions", "trade_before_listing", 6),
    ),
    Corruption(
        "a customer of tomorrow",
        "dates",
        cell(s.CUSTOMER_FILE, 9, timestamp=_later(1)),
        blocked("customers", "date_not_after_as_of", 1),
    ),
    Corruption(
        "an asset of tomorrow", "dates", cell(s.ASSET_FILE, 3, timestamp=_later(1)), blocked("assets", "date_not_after_as_of", 1)
    ),
    Corruption(
        "a questionnaire of tomorrow",
        "dates",
        cell(s.CUSTOMER_FILE, 9, lastQuestionnaireDate=_later(1)),
        blocked("customers", "questionnaire_not_after_as_of", 1),
    ),
    Corruption(
        "a questionnaire after its own row",
        "dates",
        cell(s.CUSTOMER_FILE, 9, lastQuestionnaireDate="2020-06-01"),
        warned("customers", "questionnaire_not_after_row", 1),
    ),
    Corruption(
        "a questionnaire of 1900",
        "dates",
        cell(s.CUSTOMER_FILE, 9, lastQuestionnaireDate="1900-01-01"),
        warned("customers", "last_questionnaire_date_not_before_1990", 1),
        first=True,
    ),
    Corruption(
        "day and month swapped in a close",
        "dates",
        cell(s.PRICE_FILE, 461, timestamp="2021-04-05"),
        quarantined("prices", "key_conflict", 2),
    ),
    Corruption(
        "day and month swapped in a trade",
        "dates",
        cell(s.TRADE_FILE, 145, timestamp="2021-07-05"),
        blocked("transactions", "date_not_after_as_of", 1),
    ),
    Corruption(
        "a trade on a Saturday",
        "dates",
        cell(s.TRADE_FILE, 30, timestamp="2021-04-10"),
        warned("transactions", "trade_on_closed_day", 1),
    ),
    Corruption(
        "last year's trades",
        "dates",
        column(s.TRADE_FILE, timestamp=lambda text: text.replace("2021", "2020")),
        blocked("transactions", "freshness", 1),
    ),
    Corruption(
        "no closes of the last two weeks",
        "dates",
        cells(s.PRICE_FILE, range(1081, 1301), timestamp=lambda text: text.replace("2021", "2019")),
        blocked("prices", "freshness", 1),
    ),
    Corruption(
        "holdings stated for tomorrow",
        "dates",
        parquet(s.HOLDINGS_FILE, lambda f: f.with_columns(pl.lit(s.AS_OF + timedelta(days=1)).alias("asOf"))),
        blocked("delivered_holdings", "date_not_after_as_of", 120),
    ),
)
