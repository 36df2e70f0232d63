"""FAR-Trans under its original file and column names, each file plain (X.csv) or gzipped (X.csv.gz).

Source: J. Sanz-Cruzado, N. Droukas, R. McCreadie, "FAR-Trans: An Investment Dataset for Financial Asset
Recommendation", IJCAI-2024 Workshop Fin-RecSys; data set doi:10.5525/gla.researchdata.1658 (CC-BY 4.0).

Read: customer_information, asset_information, close_prices, transactions, markets. Optional:

* transactions_provenance, row by row beside transactions, for a copy in which only part of the fields is known:
  ``source`` full | dated_buy | first_buy_window, ``dateWindowDays`` the width of the window. Without it a row is
  full where value and units are present, else dated_only.
* holdings_snapshots.parquet (asOf, customerID, ISIN, netUnits): read as delivered holdings.
* restricted_list in Nightfolio's own columns, since the data set has none.

Not read: limit_prices (its first closes repeat close_prices, and its maxDate/priceMaxDate look ahead of any as_of) and
questionnaires (questions without answers).

Codes are spelt in one way: MTF is a fund; Predicted_Income is income with risk_predicted; CAP_LT30K and CAP_LT_30K are
cap_lt_30k; "Legal Entity" and "Legal entity" are legal_entity. 2000-01-01 in lastQuestionnaireDate means "not known".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import polars as pl

from data_contracts import (
    assets,
    customers,
    delivered_holdings,
    markets,
    prices,
    restricted,
    transactions,
)
from data_contracts import columns as c
from data_contracts.contract import Contract
from data_contracts.errors import LandingError
from data_contracts.landing.conform import FutureRows, Part, csv_part, land, require_columns, text, word
from data_contracts.landing.files import CsvFile, check_csv, check_parquet, find_file, require_file
from data_contracts.landing.landed import LandedTable, SourceFile
from data_contracts.landing.nightfolio import read_part, with_bare_trades
from data_contracts.landing.questionnaires import without_look_ahead
from data_contracts.landing.unreadable import readable

NOT_KNOWN_DATE = date(2000, 1, 1)

_KINDS = {"full": "full", "dated_buy": "dated_only", "first_buy_window": "window"}

_CUSTOMERS = (
    "customerID",
    "customerType",
    "riskLevel",
    "investmentCapacity",
    "lastQuestionnaireDate",
    "timestamp",
)
_ASSETS = (
    "ISIN",
    "assetName",
    "assetShortName",
    "assetCategory",
    "assetSubCategory",
    "marketID",
    "sector",
    "industry",
    "timestamp",
)
_PRICES = ("ISIN", "timestamp", "closePrice")
_TRANSACTIONS = (
    "customerID",
    "ISIN",
    "transactionID",
    "transactionType",
    "timestamp",
    "totalValue",
    "units",
    "channel",
    "marketID",
)
_MARKETS = ("marketID", "name", "country", "tradingDays")
_SNAPSHOTS = ("asOf", "customerID", "ISIN", "netUnits")
_CSVS = (
    "customer_information",
    "asset_information",
    "close_prices",
    "transactions",
    "transactions_provenance",
    "markets",
    "restricted_list",
)
_SNAPSHOTS_FILE = "holdings_snapshots.parquet"


def looks_for(path: str) -> bool:
    """Whether a file of this path in the source folder is one of a table."""
    return path == _SNAPSHOTS_FILE or any(path in _names(name) for name in _CSVS)


def read_far_trans(
    source: Path, into: Path, as_of: date, future_rows: FutureRows, time_zone: str = "UTC"
) -> dict[str, LandedTable]:
    """Reads the data set. Raises LandingError (see ``files`` and ``conform``)."""
    people, notes = without_look_ahead([_customers(source, into)], as_of, future_rows, NOT_KNOWN_DATE, time_zone)
    trades, provenance = _transactions(source, into)

    def put(contract: Contract, parts: Sequence[Part], notes: Sequence[str] = ()) -> LandedTable:
        return land(contract, parts, into, as_of, future_rows, notes, time_zone)

    tables = {
        "assets": put(assets.CONTRACT, [_assets(source, into)]),
        "markets": put(markets.CONTRACT, [_markets(source, into)]),
        "customers": put(customers.CONTRACT, people, notes),
        "prices": put(prices.CONTRACT, [_prices(source, into)]),
        "transactions": put(transactions.CONTRACT, [trades]),
    }
    if provenance is not None:
        landed = tables["transactions"]
        said_beside = f"{provenance.name} says of each row what is known of it"
        tables["transactions"] = replace(landed, files=(*landed.files, provenance), notes=(said_beside, *landed.notes))
    else:
        tables["transactions"] = with_bare_trades(tables["transactions"], [trades])
    snapshots = find_file(source, (_SNAPSHOTS_FILE,))
    if snapshots is not None:
        parts = [_snapshots(snapshots, into)]
        tables["delivered_holdings"] = put(delivered_holdings.CONTRACT, parts)
    listed = find_file(source, _names("restricted_list"))
    parts = [] if listed is None else [read_part(restricted.CONTRACT, listed, listed.name, into)]
    tables["restricted"] = put(restricted.CONTRACT, parts)
    return tables


def _names(name: str) -> tuple[str, str]:
    return f"{name}.csv", f"{name}.csv.gz"


def _csv(source: Path, name: str, table: str, needed: tuple[str, ...], into: Path) -> CsvFile:
    """One CSV of the data set, checked."""
    path = require_file(source, table, _names(name))
    checked = check_csv(path, into / "plain")
    require_columns(path.name, checked.header, needed, checked.scan())
    return checked


def _customers(source: Path, into: Path) -> Part:
    file = _csv(source, "customer_information", "customers", _CUSTOMERS, into)
    risk, capacity = word("riskLevel"), word("investmentCapacity")
    band = capacity.str.strip_prefix("predicted_").str.strip_prefix("cap_")
    # LT30K, LT_30K, GT300K: one spelling, cap_lt_30k, cap_gt_300k.
    band = pl.lit("cap_") + band.str.replace(r"^(lt|gt)_?(\d+k)$", "${1}_${2}")
    values = {
        c.CUSTOMER_ID: text("customerID"),
        c.CUSTOMER_TYPE: word("customerType"),
        c.RISK_LEVEL: risk.str.strip_prefix("predicted_"),
        c.RISK_PREDICTED: risk.str.starts_with("predicted_").fill_null(False),
        c.INVESTMENT_CAPACITY: pl.when(capacity == "not_available").then(capacity).otherwise(band),
        c.CAPACITY_PREDICTED: capacity.str.starts_with("predicted_").fill_null(False),
        c.LAST_QUESTIONNAIRE_DATE: text("lastQuestionnaireDate"),
        c.VALID_FROM: text("timestamp"),
    }
    return csv_part(file, values, _CUSTOMERS)


def _assets(source: Path, into: Path) -> Part:
    file = _csv(source, "asset_information", "assets", _ASSETS, into)
    values = {
        c.ASSET_ID: text("ISIN"),
        c.ASSET_NAME: text("assetName"),
        c.ASSET_SHORT_NAME: text("assetShortName"),
        c.ASSET_CLASS: word("assetCategory").replace({"mtf": "fund"}),
        c.ASSET_SUBCLASS: text("assetSubCategory"),
        c.MARKET_ID: text("marketID"),
        c.SECTOR: text("sector"),
        c.INDUSTRY: text("industry"),
        c.VALID_FROM: text("timestamp"),
    }
    return csv_part(file, values, _ASSETS)


def _prices(source: Path, into: Path) -> Part:
    file = _csv(source, "close_prices", "prices", _PRICES, into)
    values = {c.ASSET_ID: text("ISIN"), c.DATE: text("timestamp"), c.CLOSE: text("closePrice")}
    return csv_part(file, values, _PRICES)


def _markets(source: Path, into: Path) -> Part:
    file = _csv(source, "markets", "markets", _MARKETS, into)
    values = {
        c.MARKET_ID: text("marketID"),
        c.NAME: text("name"),
        c.COUNTRY: text("country"),
        c.TRADING_DAYS: text("tradingDays"),
    }
    return csv_part(file, values, _MARKETS)


def _transactions(source: Path, into: Path) -> tuple[Part, SourceFile | None]:
    file = _csv(source, "transactions", "transactions", _TRANSACTIONS, into)
    known = text("totalValue").is_not_null() & text("units").is_not_null()
    kind = pl.when(known).then(pl.lit("full")).otherwise(pl.lit("dated_only"))
    values = {
        c.TRANSACTION_ID: text("transactionID"),
        c.CUSTOMER_ID: text("customerID"),
        c.ASSET_ID: text("ISIN"),
        c.SIDE: word("transactionType"),
        c.DATE: text("timestamp"),
        c.VALUE: text("totalValue"),
        c.UNITS: text("units"),
        c.CHANNEL: word("channel"),
        c.MARKET_ID: text("marketID"),
        c.RECORD_KIND: kind,
    }
    path = find_file(source, _names("transactions_provenance"))
    if path is None:
        return csv_part(file, values, _TRANSACTIONS), None
    checked = check_csv(path, into / "plain")
    require_columns(path.name, checked.header, ("row", "source", "dateWindowDays"), checked.scan())
    beside = checked.scan().select(
        c.SOURCE_ROW,
        pl.col("row").alias("_row_number"),
        word("source").replace(_KINDS).alias("_kind"),
        text("dateWindowDays").alias("_window"),
    )
    stray = beside.filter(pl.col("_row_number") != (pl.col(c.SOURCE_ROW).cast(pl.Int64) - 1).cast(pl.String))
    with readable(path.name):
        strays = int(stray.select(pl.len()).collect(engine="streaming").item())
    if strays or checked.source.rows != file.source.rows:
        raise LandingError(
            f"{path.name} does not lie row by row beside {file.source.name}: {checked.source.rows} rows beside "
            f"{file.source.rows}, {strays} of them under another number",
            remedy="deliver the two files of one export; neither may be sorted or filtered on its own",
        )
    joined = file.scan().join(beside, on=c.SOURCE_ROW, how="left", maintain_order="left")
    values |= {
        c.RECORD_KIND: pl.col("_kind"),
        c.DATE_WINDOW_DAYS: pl.when(pl.col("_kind") == "window").then(pl.col("_window")),
    }
    return replace(csv_part(file, values, _TRANSACTIONS), frame=joined), checked.source


def _snapshots(path: Path, into: Path) -> Part:
    file = check_parquet(path, into / "plain")
    require_columns(path.name, file.schema.names(), _SNAPSHOTS, file.scan())
    values = {
        c.AS_OF_DATE: pl.col("asOf"),
        c.CUSTOMER_ID: pl.col("customerID"),
        c.ASSET_ID: pl.col("ISIN"),
        c.UNITS: pl.col("netUnits"),
    }
    return Part(file.source, file.scan(), values, _SNAPSHOTS, check_text=False)
