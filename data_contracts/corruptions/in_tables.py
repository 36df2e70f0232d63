"""References, volumes, duplicates and order: tables that do not fit each other, or what they were the night before."""

from __future__ import annotations

import polars as pl

from data_contracts.corruptions import sample as s
from data_contracts.corruptions.case import Corruption, blocked, identical, quarantined, refused, warned
from data_contracts.corruptions.edits import (
    added,
    again,
    both,
    cell,
    column,
    content,
    drop,
    lines,
    parquet,
    removed,
    shuffled,
)


def _provenance(change: str = "", into: str = "") -> bytes:
    data = s.provenance()
    return data.replace(change.encode(), into.encode(), 1) if change else data


REFERENCES = (
    Corruption(
        "an asset left out",
        "references",
        drop(s.ASSET_FILE, lambda number, fields: number == 20),
        quarantined("prices", "asset_known", 65, assets=1, transactions=10, delivered_holdings=6),
    ),
    Corruption(
        "half of the assets left out",
        "references",
        drop(s.ASSET_FILE, lambda number, fields: number > 10),
        blocked("prices", "quarantine_share", 1),
    ),
    Corruption(
        "a customer left out",
        "references",
        drop(s.CUSTOMER_FILE, lambda number, fields: number == 9),
        warned("transactions", "customer_known", 5, customers=1),
    ),
    Corruption(
        "every customer under a new number",
        "references",
        column(s.CUSTOMER_FILE, customerID=lambda text: text[::-1]),
        blocked("transactions", "customer_known", 200),
    ),
    Corruption(
        "a market left out",
        "references",
        drop(s.MARKET_FILE, lambda number, fields: number == 3),
        warned("assets", "market_known", 6, markets=1),
    ),
    Corruption(
        "an asset of an unknown market",
        "references",
        cell(s.ASSET_FILE, 20, marketID="XXXX"),
        warned("assets", "market_known", 1),
    ),
    Corruption(
        "a trade of an unknown market",
        "references",
        cell(s.TRADE_FILE, 30, marketID="XXXX"),
        warned("transactions", "market_known", 1),
    ),
    Corruption(
        "a restriction of an unknown asset",
        "references",
        cell(s.RESTRICTED_FILE, 1, asset_id="IE00B66F4759"),
        warned("restricted", "asset_known", 1),
    ),
    Corruption(
        "a restriction with a wrong check digit",
        "references",
        cell(s.RESTRICTED_FILE, 1, asset_id="GR1000000008"),
        blocked("restricted", "isin_check_digit", 1),
    ),
    Corruption(
        "a restriction that ends before it begins",
        "references",
        cell(s.RESTRICTED_FILE, 1, valid_to="2020-01-01"),
        blocked("restricted", "valid_to_not_before_valid_from", 1),
    ),
    Corruption(
        "a restriction of an unknown kind",
        "references",
        cell(s.RESTRICTED_FILE, 1, list_kind="blocked"),
        blocked("restricted", "list_kind_in_set", 1),
    ),
    Corruption(
        "a restriction without a day",
        "references",
        cell(s.RESTRICTED_FILE, 1, valid_from=""),
        blocked("restricted", "valid_from_not_null", 1),
    ),
    Corruption(
        "provenance of another export",
        "references",
        both(added(s.PROVENANCE_FILE, _provenance()), drop(s.TRADE_FILE, lambda number, fields: number == 9)),
        refused(s.PROVENANCE_FILE, "200 rows beside 199"),
    ),
    Corruption(
        "provenance in another order",
        "references",
        both(added(s.PROVENANCE_FILE, _provenance()), shuffled(s.PROVENANCE_FILE)),
        refused(s.PROVENANCE_FILE, "of them under another number"),
    ),
    Corruption(
        "an unknown word of provenance",
        "references",
        added(s.PROVENANCE_FILE, _provenance("full", "partial")),
        quarantined("transactions", "record_kind_in_set", 1),
    ),
    Corruption(
        "a window that ends after as_of",
        "references",
        both(added(s.PROVENANCE_FILE, _provenance("2021-06-27,6\n", "2021-07-12,40\n"))),
        blocked("transactions", "window_not_after_as_of", 1),
    ),
    Corruption(
        "a full trade without its amount",
        "references",
        added(s.PROVENANCE_FILE, _provenance("196,first_buy_window", "196,full")),
        quarantined("transactions", "full_has_amount", 1),
    ),
)


def _copies(every: list[str]) -> list[str]:
    """Ten times as many trades, each copy of another day's batch and under numbers of its own."""
    rows = [line.split(",") for line in every[1:]]
    return [every[0], *(",".join([*row[:2], f"{number}-{row[2]}", *row[3:]]) for number in range(10) for row in rows)]


VOLUMES = (
    Corruption("only a header", "volumes", lines(s.PRICE_FILE, lambda every: every[:1]), blocked("prices", "row_count", 1)),
    Corruption("no customers", "volumes", lines(s.CUSTOMER_FILE, lambda every: every[:1]), blocked("customers", "row_count", 1)),
    Corruption(
        "more than half of the trades gone",
        "volumes",
        lines(s.TRADE_FILE, lambda every: [every[0], *every[102:]]),
        blocked("transactions", "volume_change", 1),
    ),
    Corruption(
        "a third of the trades gone",
        "volumes",
        lines(s.TRADE_FILE, lambda every: [every[0], *every[67:]]),
        warned("transactions", "rows_not_fewer", 1, transactions=66),
    ),
    Corruption(
        "a day of trades missing",
        "volumes",
        drop(s.TRADE_FILE, lambda number, fields: fields[4] == "2021-06-17"),
        warned("transactions", "rows_not_fewer", 1, transactions=3),
    ),
    Corruption(
        "a day of closes missing",
        "volumes",
        drop(s.PRICE_FILE, lambda number, fields: fields[1] == "2021-06-17"),
        warned("prices", "rows_not_fewer", 1, prices=20),
    ),
    Corruption("ten times the trades", "volumes", lines(s.TRADE_FILE, _copies), blocked("transactions", "volume_change", 1)),
    Corruption("the restricted list gone", "volumes", removed(s.RESTRICTED_FILE), blocked("restricted", "volume_change", 1)),
    Corruption(
        "no restricted list in a first delivery",
        "volumes",
        removed(s.RESTRICTED_FILE),
        warned("restricted", "table_delivered", 1, restricted=2),
        first=True,
    ),
    Corruption("holdings gone", "volumes", removed(s.HOLDINGS_FILE), blocked("delivered_holdings", "volume_change", 1)),
    Corruption(
        "a restriction gone",
        "volumes",
        drop(s.RESTRICTED_FILE, lambda number, fields: number == 1),
        warned("restricted", "rows_not_fewer", 1, restricted=1),
    ),
    Corruption(
        "holdings of another size",
        "volumes",
        parquet(s.HOLDINGS_FILE, lambda f: f.head(20)),
        blocked("delivered_holdings", "volume_change", 1),
    ),
)

DUPLICATES = (
    Corruption(
        "a trade twice", "duplicates", again(s.TRADE_FILE, 30), quarantined("transactions", "exact_repeat", 1, transactions=0)
    ),
    Corruption(
        "a trade corrected",
        "duplicates",
        again(s.TRADE_FILE, 30, totalValue=lambda text: str(float(text) + 1)),
        quarantined("transactions", "key_conflict", 1, transactions=0),
    ),
    Corruption(
        "a number of two customers",
        "duplicates",
        cell(s.TRADE_FILE, 30, transactionID="1005"),
        warned("transactions", "id_of_two_customers", 2),
    ),
    Corruption(
        "a trade under two numbers",
        "duplicates",
        again(s.TRADE_FILE, 30, transactionID="9999"),
        warned("transactions", "same_trade_two_numbers", 1, transactions=-1),
    ),
    Corruption(
        "a bare trade twice",
        "duplicates",
        again(s.TRADE_FILE, 200),
        quarantined("transactions", "unnumbered_repeat", 1, transactions=0),
    ),
    Corruption("a close twice", "duplicates", again(s.PRICE_FILE, 30), quarantined("prices", "exact_repeat", 1, prices=0)),
    Corruption(
        "a customer twice", "duplicates", again(s.CUSTOMER_FILE, 9), quarantined("customers", "exact_repeat", 1, customers=0)
    ),
    Corruption(
        "a customer with two profiles of a day",
        "duplicates",
        again(s.CUSTOMER_FILE, 9, riskLevel="Aggressive"),
        quarantined("customers", "key_conflict", 1, customers=0),
    ),
    Corruption("an asset twice", "duplicates", again(s.ASSET_FILE, 20), quarantined("assets", "exact_repeat", 1, assets=0)),
    Corruption(
        "an asset with two names of a day",
        "duplicates",
        again(s.ASSET_FILE, 20, assetName="Company XX"),
        quarantined("assets", "key_conflict", 1, assets=0),
    ),
    Corruption("a market twice", "duplicates", again(s.MARKET_FILE, 3), blocked("markets", "quarantine_share", 1)),
    Corruption(
        "two positions of a pair",
        "duplicates",
        parquet(s.HOLDINGS_FILE, lambda f: f.vstack(f.head(1).with_columns(pl.col("netUnits") + 1))),
        quarantined("delivered_holdings", "key_conflict", 2, delivered_holdings=1),
    ),
    Corruption(
        "the whole file twice",
        "duplicates",
        lines(s.TRADE_FILE, lambda every: every + every[1:]),
        blocked("transactions", "quarantine_share", 1),
    ),
    Corruption(
        "the whole file twice, header and all",
        "duplicates",
        content(s.PRICE_FILE, lambda data: data + data),
        blocked("prices", "quarantine_share", 1),
    ),
)

REORDERINGS = (
    Corruption("trades in another order", "reordering", shuffled(s.TRADE_FILE), identical(in_bytes=False)),
    Corruption("closes in another order", "reordering", shuffled(s.PRICE_FILE), identical(in_bytes=False)),
    Corruption("customers in another order", "reordering", shuffled(s.CUSTOMER_FILE), identical(in_bytes=False)),
    Corruption("assets in another order", "reordering", shuffled(s.ASSET_FILE), identical(in_bytes=False)),
    Corruption(
        "holdings in another order", "reordering", parquet(s.HOLDINGS_FILE, lambda f: f.reverse()), identical(in_bytes=False)
    ),
    Corruption(
        "the newest row first",
        "reordering",
        lines(s.TRADE_FILE, lambda every: [every[0], *every[:0:-1]]),
        identical(in_bytes=False),
    ),
)
