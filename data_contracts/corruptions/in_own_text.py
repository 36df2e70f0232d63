"""CSV files and small tables of Nightfolio's own layout: their form, and what only these tables can get wrong."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import polars as pl

from data_contracts.corruptions import own_sample as o
from data_contracts.corruptions import sample as s
from data_contracts.corruptions.case import (
    Corruption,
    Expected,
    blocked,
    identical,
    quarantined,
    refused,
    repaired,
    reported,
    warned,
)
from data_contracts.corruptions.edits import (
    Edit,
    added,
    again,
    appended,
    cell,
    cells,
    column,
    columns,
    content,
    drop,
    header,
    lines,
    parquet,
    removed,
    renamed,
    shuffled,
    text,
    zipped,
)

UNKNOWN = "US0378331005"  # a true ISIN, of no asset of the sample
NEXT_DAY = s.AS_OF + timedelta(days=1)


def _case(kind: str) -> Callable[[str, Edit, Expected], Corruption]:
    return lambda name, spoil, expected: Corruption(name, kind, spoil, expected, layout="nightfolio")


def _quoted(every: list[str]) -> list[str]:
    return [",".join(f'"{field}"' for field in line.split(",")) for line in every]


def _as_csv(name: str) -> Edit:
    """The folder's table as one CSV file."""

    def edit(folder: Path) -> None:
        whole = pl.concat([pl.read_parquet(part) for part in sorted((folder / name).iterdir())])
        shutil.rmtree(folder / name)
        whole.write_csv(folder / f"{name}.csv")

    return edit


def _as_parquet(folder: Path) -> None:
    pl.read_csv(folder / o.CUSTOMERS, try_parse_dates=True).write_parquet(folder / "customers.parquet")
    (folder / o.CUSTOMERS).unlink()


def _both(folder: Path) -> None:
    (folder / "customers.csv.gz").write_bytes(gzip.compress((folder / o.CUSTOMERS).read_bytes()))


_text = _case("own layout: text")
TEXT = (
    _text("a byte order mark", content(o.CUSTOMERS, lambda d: b"\xef\xbb\xbf" + d), identical()),
    _text("line ends of Windows", content(o.CUSTOMERS, lambda d: d.replace(b"\n", b"\r\n")), identical()),
    _text("every field in quotes", lines(o.CUSTOMERS, _quoted), identical()),
    _text("packed", zipped(o.CUSTOMERS), identical(in_bytes=False)),
    _text("packed, and cut", zipped(o.CUSTOMERS, lambda d: d[:-20]), refused("customers.csv.gz", "remedy")),
    _text("semicolons", text(o.CUSTOMERS, lambda t: t.replace(",", ";")), refused(o.CUSTOMERS, "separated by semicolons?")),
    _text("tabs", text(o.CUSTOMERS, lambda t: t.replace(",", "\t")), refused(o.CUSTOMERS, "columns")),
    _text("UTF-16", content(o.CUSTOMERS, lambda d: d.decode().encode("utf-16")), refused(o.CUSTOMERS, "UTF-8")),
    _text("Latin-1", content(o.ASSETS, lambda d: d.replace(b"Company 03", b"Caf\xe9 03")), refused(o.ASSETS, "UTF-8")),
    _text("a comma in a name without quotes", cell(o.ASSETS, 3, asset_name="Company, 02"), refused(o.ASSETS, "fields")),
    _text("no header", lines(o.MARKETS, lambda every: every[1:]), refused(o.MARKETS, "missing")),
    _text("a title above the header", lines(o.MARKETS, lambda every: ["Markets", *every]), refused(o.MARKETS, "fields")),
    _text("a total below the rows", appended(o.RESTRICTED, "2 rows,,,,"), blocked("restricted", "list_kind_not_null", 1)),
    _text("no row at all", lines(o.CUSTOMERS, lambda every: every[:1]), blocked("customers", "row_count", 1)),
    _text("no byte at all", content(o.CUSTOMERS, lambda d: b""), refused(o.CUSTOMERS, "empty")),
    _text("days as day.month.year", column(o.CUSTOMERS, valid_from="02.01.2020"), blocked("customers", "type", 40)),
    _text("closes as one CSV file", _as_csv("prices"), identical(in_bytes=False)),
    _text("columns in another order", columns(o.ASSETS, lambda names: names[::-1]), identical()),
    _text("rows in another order", shuffled(o.CUSTOMERS), identical(in_bytes=False)),
    _text("Parquet in place of CSV", _as_parquet, identical(in_bytes=False)),
    _text("trades as one CSV file", _as_csv("transactions"), identical(in_bytes=False)),
    _text("CSV plain and packed", _both, refused("customers.csv", "both exist")),
    _text(
        "a copy under another name", added("customers (1).csv", b"x\n1\n"), refused("customers (1).csv", "looks like this table")
    ),
    _text("a foreign file beside", added("notes.txt", b"x\n"), reported("assets", "notes.txt")),
    _text("a table's name in the singular", renamed(o.CUSTOMERS, "customer.csv"), refused("customer", "customers")),
)

_table = _case("own layout: tables")
TABLES = (
    _table("no customers", removed(o.CUSTOMERS), refused("customers", "no file in ")),
    _table("the restricted list gone", removed(o.RESTRICTED), blocked("restricted", "volume_change", 1)),
    _table("the markets gone", removed(o.MARKETS), blocked("markets", "volume_change", 1)),
    _table("the holdings gone", removed(o.HOLDINGS), blocked("delivered_holdings", "volume_change", 1)),
    _table(
        "a restriction that ends before it begins",
        cell(o.RESTRICTED, 2, valid_to="2020-12-31"),
        blocked("restricted", "valid_to_not_before_valid_from", 1),
    ),
    _table("a restriction without a kind", cell(o.RESTRICTED, 1, list_kind=""), blocked("restricted", "list_kind_not_null", 1)),
    _table(
        "a restriction of another kind", cell(o.RESTRICTED, 1, list_kind="banned"), blocked("restricted", "list_kind_in_set", 1)
    ),
    _table(
        "a restriction misspelt", cell(o.RESTRICTED, 1, list_kind="Restricted "), repaired("restricted", "list_kind_spelling", 1)
    ),
    _table("a restriction of an unknown asset", cell(o.RESTRICTED, 1, asset_id=UNKNOWN), warned("restricted", "asset_known", 1)),
    _table(
        "a restriction from tomorrow",
        cell(o.RESTRICTED, 1, valid_from=str(NEXT_DAY)),
        blocked("restricted", "date_not_after_as_of", 1),
    ),
    _table(
        "a row fewer on the list",
        drop(o.RESTRICTED, lambda n, _: n == 1),
        warned("restricted", "rows_not_fewer", 1, restricted=1),
    ),
    _table("a restriction twice", again(o.RESTRICTED, 1), warned("restricted", "exact_repeat", 1, restricted=-1)),
    _table(
        "two ends of one restriction",
        again(o.RESTRICTED, 2, valid_to="2022-12-31"),
        warned("restricted", "key_conflict", 2, restricted=-1),
    ),
    _table(
        "holdings of tomorrow",
        parquet(o.HOLDINGS, lambda f: f.with_columns(as_of_date=pl.lit(NEXT_DAY))),
        blocked("delivered_holdings", "date_not_after_as_of", 120),
    ),
    _table(
        "holdings negative",
        parquet(o.HOLDINGS, lambda f: f.with_columns(-pl.col("units"))),
        blocked("delivered_holdings", "holding_not_negative", 120),
    ),
    _table(
        "holdings in hundreds",
        parquet(o.HOLDINGS, lambda f: f.with_columns(pl.col("units") / 100)),
        blocked("delivered_holdings", "reconciled_with_trades", 120),
    ),
    _table(
        "holdings under other names",
        parquet(o.HOLDINGS, lambda f: f.rename({"units": "quantity"})),
        refused(o.HOLDINGS, "is units now called quantity?"),
    ),
    _table(
        "holdings twice", parquet(o.HOLDINGS, lambda f: pl.concat([f, f])), blocked("delivered_holdings", "quarantine_share", 1)
    ),
    _table(
        "holdings with residues",
        parquet(o.HOLDINGS, lambda f: pl.concat([f, f.head(3).with_columns(asset_id=pl.lit(s.isin(19)), units=1e-15)])),
        repaired("delivered_holdings", "units_residue", 3, delivered_holdings=-3),
    ),
    _table(
        "a customer from tomorrow",
        cell(o.CUSTOMERS, 3, valid_from=str(NEXT_DAY)),
        blocked("customers", "date_not_after_as_of", 1),
    ),
    _table("a profile misspelt", cell(o.CUSTOMERS, 3, risk_level="Agressive"), quarantined("customers", "risk_level_in_set", 1)),
    _table("profiles in capitals", column(o.CUSTOMERS, risk_level=str.upper), repaired("customers", "risk_level_spelling", 40)),
    _table("yes and no", column(o.CUSTOMERS, risk_predicted=lambda old: "yes" if old == "true" else "no"), identical()),
    _table("maybe", cells(o.CUSTOMERS, [2], risk_predicted="maybe"), quarantined("customers", "type", 1)),
    _table(
        "predictions left out",
        columns(o.CUSTOMERS, lambda names: [n for n in names if n != "risk_predicted"]),
        warned("customers", "schema_missing_column", 1),
    ),
    _table(
        "a column under another name",
        header(o.CUSTOMERS, last_questionnaire_date="questionnaire_date"),
        warned("customers", "schema_renamed_column", 1),
    ),
    _table(
        "sides in capitals",
        parquet(o.TRADE_PARTS[1], lambda f: f.with_columns(pl.col("side").str.to_uppercase())),
        repaired("transactions", "side_spelling", 65),
    ),
    _table(
        "sides as plus and minus",
        parquet(o.TRADE_PARTS[1], lambda f: f.with_columns(side=pl.lit("+"))),
        blocked("transactions", "quarantine_share", 1),
    ),
    _table(
        "a risk class of 5",
        cell(o.ASSETS, 4, risk_class="5"),
        quarantined("assets", "risk_class_in_set", 1, prices=65, transactions=10, delivered_holdings=6),
    ),
)
