"""Delimiters and headers: what spreadsheets and regional settings make of a table."""

from __future__ import annotations

from data_contracts.corruptions import sample as s
from data_contracts.corruptions.case import Corruption, blocked, identical, quarantined, refused, warned
from data_contracts.corruptions.edits import appended, cell, columns, header, lines, text


def _quoted(every: list[str]) -> list[str]:
    return [",".join(f'"{field}"' for field in line.split(",")) for line in every]


DELIMITERS = (
    Corruption(
        "semicolons",
        "delimiters",
        text(s.PRICE_FILE, lambda t: t.replace(",", ";")),
        refused(s.PRICE_FILE, "is it separated by semicolons?"),
    ),
    Corruption(
        "tabs",
        "delimiters",
        text(s.TRADE_FILE, lambda t: t.replace(",", "\t")),
        refused(s.TRADE_FILE, "columns customerID, ISIN, transactionID"),
    ),
    Corruption(
        "pipes",
        "delimiters",
        text(s.CUSTOMER_FILE, lambda t: t.replace(",", "|")),
        refused(s.CUSTOMER_FILE, "missing (found customerID|customerType"),
    ),
    Corruption(
        "decimal commas",
        "delimiters",
        lines(s.PRICE_FILE, lambda every: [every[0], *(x.replace(".", ",") for x in every[1:])]),
        refused(s.PRICE_FILE, "line 2 has 4 fields, the header has 3"),
    ),
    Corruption(
        "a decimal comma in quotes", "delimiters", cell(s.PRICE_FILE, 5, closePrice='"25,398"'), quarantined("prices", "type", 1)
    ),
    Corruption(
        "separators of thousands",
        "delimiters",
        cell(s.TRADE_FILE, 9, totalValue='"1,234.50"'),
        quarantined("transactions", "type", 1),
    ),
    Corruption(
        "blanks between thousands",
        "delimiters",
        cell(s.TRADE_FILE, 9, totalValue="1 234.50"),
        quarantined("transactions", "type", 1),
    ),
    Corruption(
        "a comma in a name without quotes",
        "delimiters",
        cell(s.ASSET_FILE, 3, assetName="Company, 02"),
        refused(s.ASSET_FILE, "line 4 has 10 fields, the header has 9"),
    ),
    Corruption(
        "a quote that is not closed",
        "delimiters",
        cell(s.ASSET_FILE, 3, assetName='"Company 02'),
        refused(s.ASSET_FILE, "is not well-formed CSV"),
    ),
    Corruption(
        "a quote in the middle of an identifier",
        "delimiters",
        cell(s.TRADE_FILE, 9, ISIN=lambda t: t[:4] + '"' + t[4:]),
        quarantined("transactions", "asset_known", 1),
    ),
    Corruption("every field in quotes", "delimiters", lines(s.TRADE_FILE, _quoted), identical()),
    Corruption(
        "a line break within quotes",
        "delimiters",
        cell(s.CUSTOMER_FILE, 3, customerType='"Ma\nss"'),
        quarantined("customers", "type", 1),
    ),
    Corruption(
        "a tab within a field", "delimiters", cell(s.CUSTOMER_FILE, 3, customerType="Ma\tss"), quarantined("customers", "type", 1)
    ),
    Corruption(
        "a comma too many in every row",
        "delimiters",
        lines(s.PRICE_FILE, lambda every: [every[0], *(x + "," for x in every[1:])]),
        refused(s.PRICE_FILE, "line 2 has 4 fields, the header has 3"),
    ),
    Corruption(
        "an empty line in the middle",
        "delimiters",
        lines(s.PRICE_FILE, lambda every: [*every[:9], "", *every[9:]]),
        refused(s.PRICE_FILE, "line 10 has 0 fields, the header has 3"),
    ),
    Corruption(
        "an empty line at the end",
        "delimiters",
        appended(s.TRADE_FILE, ""),
        refused(s.TRADE_FILE, "line 202 has 0 fields, the header has 9"),
    ),
    Corruption(
        "the header once more in the middle",
        "delimiters",
        lines(s.PRICE_FILE, lambda every: [*every[:700], every[0], *every[700:]]),
        quarantined("prices", "type", 1, prices=0),
    ),
    Corruption(
        "a line of totals",
        "delimiters",
        appended(s.PRICE_FILE, "Total,,56780.25"),
        quarantined("prices", "date_not_null", 1, prices=0),
    ),
    Corruption(
        "a comment above the header",
        "delimiters",
        lines(s.TRADE_FILE, lambda every: ["# export of 2021-06-30", *every]),
        refused(s.TRADE_FILE, "line 2 has 9 fields, the header has 1"),
    ),
)

HEADERS = (
    Corruption(
        "a column renamed",
        "header",
        header(s.PRICE_FILE, closePrice="price"),
        refused(s.PRICE_FILE, "column closePrice missing (found ISIN, timestamp, price"),
    ),
    Corruption(
        "a column left out",
        "header",
        columns(s.CUSTOMER_FILE, lambda names: [n for n in names if n != "riskLevel"]),
        refused(s.CUSTOMER_FILE, "column riskLevel missing"),
    ),
    Corruption(
        "a column twice",
        "header",
        header(s.TRADE_FILE, units="totalValue"),
        refused(s.TRADE_FILE, "column totalValue occurs twice in the header"),
    ),
    Corruption(
        "a column more",
        "header",
        lines(s.CUSTOMER_FILE, lambda every: [f"{x},{'segment' if not n else 'A'}" for n, x in enumerate(every)]),
        warned("customers", "schema_new_column", 1),
    ),
    Corruption(
        "a column without a name",
        "header",
        lines(s.PRICE_FILE, lambda every: [f",{every[0]}", *(f"{n},{x}" for n, x in enumerate(every[1:]))]),
        warned("prices", "schema_new_column", 1),
    ),
    Corruption("columns in another order", "header", columns(s.TRADE_FILE, lambda names: names[::-1]), identical()),
    Corruption(
        "a header in capitals",
        "header",
        lines(s.PRICE_FILE, lambda every: [every[0].upper(), *every[1:]]),
        refused(s.PRICE_FILE, "missing (found ISIN, TIMESTAMP, CLOSEPRICE"),
    ),
    Corruption(
        "blanks around names",
        "header",
        lines(s.PRICE_FILE, lambda every: [every[0].replace(",", ", "), *every[1:]]),
        refused(s.PRICE_FILE, "columns timestamp, closePrice missing"),
    ),
    Corruption(
        "no header",
        "header",
        lines(s.MARKET_FILE, lambda every: every[1:]),
        refused(s.MARKET_FILE, "columns marketID, name, country, tradingDays missing"),
    ),
    Corruption(
        "two numbers under each other's name",
        "header",
        header(s.TRADE_FILE, totalValue="units", units="totalValue"),
        blocked("transactions", "trade_price_near_close", 196),
    ),
    Corruption(
        "two identifiers under each other's name",
        "header",
        header(s.TRADE_FILE, customerID="ISIN", ISIN="customerID"),
        blocked("transactions", "quarantine_share", 1),
    ),
    Corruption(
        "the header of another table",
        "header",
        lines(s.PRICE_FILE, lambda every: ["ISIN,minDate,priceMinDate", *every[1:]]),
        refused(s.PRICE_FILE, "columns timestamp, closePrice missing"),
    ),
)
