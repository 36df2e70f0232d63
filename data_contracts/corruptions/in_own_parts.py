"""Tables in many files, as Nightfolio's own layout has them: parts that are missing, damaged, doubled, or unlike the others."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.corruptions import own_sample as o
from data_contracts.corruptions.case import (
    Corruption,
    Expected,
    blocked,
    identical,
    quarantined,
    refused,
    warned,
)
from data_contracts.corruptions.edits import Edit, added, content, parquet, removed, renamed

APRIL, MAY, JUNE = o.PRICE_PARTS
TRADES_OF_MAY = o.TRADE_PARTS[1]


def _case(kind: str) -> Callable[[str, Edit, Expected], Corruption]:
    return lambda name, spoil, expected: Corruption(name, kind, spoil, expected, layout="nightfolio")


def arrow(name: str, change: Callable[[pa.Table], pa.Table], **how: object) -> Edit:
    """The Arrow table of a Parquet file, changed and written as it then is."""

    def rewritten(data: bytes) -> bytes:
        out = io.BytesIO()
        pq.write_table(change(pq.read_table(io.BytesIO(data))), out, **how)
        return out.getvalue()

    return content(name, rewritten)


def cast(name: str, **types: pa.DataType) -> Edit:
    """Columns of a part as other Arrow types."""

    def change(table: pa.Table) -> pa.Table:
        for column, dtype in types.items():
            place = table.schema.get_field_index(column)
            table = table.set_column(place, column, table[column].cast(dtype, safe=False))
        return table

    return arrow(name, change)


def _months_mixed(folder: Path) -> None:
    """Ten rows of May lie in the part of June."""
    may, june = (pl.read_parquet(folder / part) for part in (MAY, JUNE))
    may.tail(-10).write_parquet(folder / MAY)
    pl.concat([may.head(10), june]).write_parquet(folder / JUNE)


def _overlap(folder: Path) -> None:
    """The first ten rows of June end the part of May, too."""
    may, june = (pl.read_parquet(folder / part) for part in (MAY, JUNE))
    pl.concat([may, june.head(10)]).write_parquet(folder / MAY)


def _contradict(folder: Path) -> None:
    may, june = (pl.read_parquet(folder / part) for part in (MAY, JUNE))
    pl.concat([may, june.head(10).with_columns(pl.col("close") * 1.01)]).write_parquet(folder / MAY)


def _copied(source: str, to: str) -> Edit:
    def edit(folder: Path) -> None:
        shutil.copy(folder / source, folder / to)

    return edit


def _empty_part(folder: Path) -> None:
    pl.read_parquet(folder / MAY).head(0).write_parquet(folder / "prices" / "2021-07.parquet")


def _nested(folder: Path) -> None:
    (folder / "prices" / "2021").mkdir()
    (folder / MAY).rename(folder / "prices" / "2021" / "05.parquet")


def _hive(folder: Path) -> None:
    for month, part in zip(o.MONTHS, o.PRICE_PARTS, strict=True):
        (folder / "prices" / f"month={month}").mkdir()
        (folder / part).rename(folder / "prices" / f"month={month}" / "part-0.parquet")


def _one_file(folder: Path) -> None:
    whole = pl.concat([pl.read_parquet(folder / part) for part in o.PRICE_PARTS])
    shutil.rmtree(folder / "prices")
    whole.write_parquet(folder / "prices.parquet")


def _file_too(folder: Path) -> None:
    pl.read_parquet(folder / MAY).write_parquet(folder / "prices.parquet")


def _emptied(folder: Path) -> None:
    for part in o.PRICE_PARTS:
        (folder / part).unlink()


def _dangling(folder: Path) -> None:
    (folder / MAY).unlink()
    (folder / MAY).symlink_to(folder / "not_there_yet.parquet")


def _linked(folder: Path) -> None:
    (folder / MAY).rename(folder.parent / "elsewhere.parquet")
    (folder / MAY).symlink_to(folder.parent / "elsewhere.parquet")


def _old_as_new(folder: Path) -> None:
    """The part of June is last month's file again, under June's name."""
    shutil.copy(folder / MAY, folder / JUNE)


_part = _case("own layout: parts")
PARTS = (
    _part("a part missing", removed(MAY), warned("prices", "rows_not_fewer", 1, prices=420)),
    _part("the newest part missing", removed(JUNE), blocked("prices", "freshness", 1)),
    _part("a part of trades missing", removed(TRADES_OF_MAY), warned("transactions", "rows_not_fewer", 1, transactions=65)),
    _part("a part twice", _copied(MAY, "prices/2021-05 (1).parquet"), blocked("prices", "quarantine_share", 1)),
    _part("last month's part under the new name", _old_as_new, blocked("prices", "freshness", 1)),
    _part("half of a part", content(MAY, lambda d: d[: len(d) // 2]), refused(MAY, "not a whole Parquet file")),
    _part("a part without its end", content(MAY, lambda d: d[:-8] + b"\0" * 8), refused(MAY, "not a whole Parquet file")),
    _part(
        "damage in the middle of a part", content(MAY, lambda d: d[:200] + b"\xff" * 64 + d[264:]), refused(MAY, "cannot be read")
    ),
    _part("a part of no bytes", content(MAY, lambda d: b""), refused(MAY, "not a whole Parquet file")),
    _part("a text file named as a part", content(MAY, lambda d: b"asset_id\n"), refused(MAY, "not a whole Parquet file")),
    _part("a part without rows", parquet(MAY, lambda f: f.head(0)), warned("prices", "rows_not_fewer", 1, prices=420)),
    _part("one more part, without rows", _empty_part, identical(in_bytes=False)),
    _part("no part at all", _emptied, refused("prices/", "holds no .parquet file")),
    _part("rows of May in the part of June", _months_mixed, identical(in_bytes=False)),
    _part("the same rows in two parts", _overlap, quarantined("prices", "exact_repeat", 10, prices=0)),
    _part("two parts that contradict each other", _contradict, quarantined("prices", "key_conflict", 20, prices=10)),
    _part("rows of a part in another order", parquet(MAY, lambda f: f.reverse()), identical(in_bytes=False)),
    _part("a marker of the export tool", added("prices/_SUCCESS", b""), refused("prices/_SUCCESS", "is no plain .parquet file")),
    _part(
        "a hidden checksum",
        added("prices/.2021-05.parquet.crc", b"crc"),
        refused(".2021-05.parquet.crc", "is no plain .parquet file"),
    ),
    _part("a part still in transfer", renamed(MAY, f"{MAY}.part"), refused(f"{MAY}.part", "is no plain .parquet file")),
    _part(
        "a part in capitals",
        renamed(MAY, "prices/2021-05.PARQUET"),
        refused("prices/2021-05.PARQUET", "is no plain .parquet file"),
    ),
    _part(
        "a CSV among the parts",
        added("prices/2021-07.csv", b"asset_id,date,close\n"),
        refused("2021-07.csv", "is no plain .parquet"),
    ),
    _part("a folder in the folder", _nested, refused("prices/2021", "is no plain .parquet file")),
    _part("folders by month", _hive, refused("prices/month=2021-04", "is no plain .parquet file")),
    _part("a folder and a file of one table", _file_too, refused("prices", "both exist")),
    _part("one file in place of the folder", _one_file, identical(in_bytes=False)),
    _part("the folder's name in capitals", renamed("prices", "Prices"), refused("Prices", "looks like this table")),
    _part("a link to nowhere", _dangling, refused(MAY, "is no plain .parquet file")),
    _part("a link to a file elsewhere", _linked, identical()),
)

_type = _case("own layout: types")
PART_TYPES = (
    _type("columns of a part in another order", parquet(MAY, lambda f: f.select(f.columns[::-1])), identical()),
    _type(
        "a column more in one part",
        parquet(MAY, lambda f: f.with_columns(venue=pl.lit("X"))),
        warned("prices", "schema_new_column", 1),
    ),
    _type("a column gone from one part", parquet(MAY, lambda f: f.drop("close")), refused(MAY, "column close missing")),
    _type(
        "a column gone from one part that may be left out",
        parquet(TRADES_OF_MAY, lambda f: f.drop("channel")),
        warned("transactions", "schema_unlike_files", 1),
    ),
    _type(
        "a column renamed in one part", parquet(MAY, lambda f: f.rename({"close": "price"})), refused(MAY, "column close missing")
    ),
    _type("closes as text", cast(MAY, close=pa.string()), warned("prices", "schema_unlike_files", 1)),
    _type("closes as decimals", cast(MAY, close=pa.decimal128(18, 4)), warned("prices", "schema_unlike_files", 1)),
    _type("closes in single precision", cast(MAY, close=pa.float32()), warned("prices", "schema_unlike_files", 1)),
    _type("closes as whole numbers", cast(MAY, close=pa.int64()), warned("prices", "schema_unlike_files", 1)),
    _type("units as whole numbers", cast(TRADES_OF_MAY, units=pa.int32()), warned("transactions", "schema_unlike_files", 1)),
    _type(
        "identifiers in a dictionary",
        cast(TRADES_OF_MAY, asset_id=pa.dictionary(pa.int32(), pa.string()), side=pa.dictionary(pa.int8(), pa.string())),
        identical(),
    ),
    _type("large texts", cast(TRADES_OF_MAY, customer_id=pa.large_string(), asset_id=pa.large_string()), identical()),
    _type("text views", cast(TRADES_OF_MAY, customer_id=pa.string_view()), identical()),
    _type("identifiers as bytes", cast(MAY, asset_id=pa.binary()), refused(MAY, "asset_id is of type")),
    _type(
        "numbers for identifiers",
        cast(TRADES_OF_MAY, transaction_id=pa.int64()),
        warned("transactions", "schema_unlike_files", 1),
    ),
    _type("days as text", cast(MAY, date=pa.string()), warned("prices", "schema_unlike_files", 1)),
    _type("days as timestamps at midnight", cast(MAY, date=pa.timestamp("us")), warned("prices", "schema_unlike_files", 1)),
    _type("days as nanoseconds", cast(MAY, date=pa.timestamp("ns")), warned("prices", "schema_unlike_files", 1)),
    _type("days as 64-bit dates", cast(MAY, date=pa.date64()), warned("prices", "schema_unlike_files", 1)),
    _type(
        "midnights of another time zone",
        parquet(
            MAY,
            lambda f: f.with_columns(
                pl.col("date").cast(pl.Datetime("us")).dt.replace_time_zone("Asia/Tokyo").dt.convert_time_zone("UTC")
            ),
        ),
        warned("prices", "price_on_closed_day", 100),
    ),
    _type("days as numbers", cast(MAY, date=pa.int32()), refused(MAY, "column date is of type")),
    _type(
        "closes that are no number",
        parquet(MAY, lambda f: f.with_columns(close=pl.when(pl.int_range(pl.len()) < 3).then(float("nan")).otherwise("close"))),
        quarantined("prices", "type", 3),
    ),
    _type(
        "closes all empty in one part",
        parquet(MAY, lambda f: f.with_columns(close=pl.lit(None, pl.Float64))),
        blocked("prices", "quarantine_share", 1),
    ),
    _type(
        "a column of nothing but nulls",
        arrow(TRADES_OF_MAY, lambda t: t.set_column(t.schema.get_field_index("channel"), "channel", pa.nulls(t.num_rows))),
        warned("transactions", "schema_unlike_files", 1),
    ),
    _type("other compression and row groups", arrow(MAY, lambda t: t, compression="gzip", row_group_size=17), identical()),
    _type("an old format version", arrow(MAY, lambda t: t, version="1.0", use_dictionary=False), identical()),
    _type(
        "a name of the reader's own", parquet(MAY, lambda f: f.with_columns(_source_row=pl.lit(1))), refused(MAY, "_source_row")
    ),
    _type(
        "closes as lists",
        parquet(MAY, lambda f: f.with_columns(pl.concat_list("close"))),
        refused(MAY, "column close is of type"),
    ),
    _type(
        "closes of May in cents",
        parquet(MAY, lambda f: f.with_columns(pl.col("close") * 100)),
        blocked("transactions", "trade_price_near_close", 65),
    ),
    _type(
        "trades of May valued in cents",
        parquet(TRADES_OF_MAY, lambda f: f.with_columns(pl.col("value") * 100)),
        blocked("transactions", "amount_is_units_times_price", 65),
    ),
    _type(
        "dates of a part a year late",
        parquet(JUNE, lambda f: f.with_columns(pl.col("date").dt.offset_by("1y"))),
        blocked("prices", "date_not_after_as_of", 440),
    ),
    _type(
        "dates of a part a year early",
        parquet(MAY, lambda f: f.with_columns(pl.col("date").dt.offset_by("-1y"))),
        warned("prices", "price_on_closed_day", 100),
    ),
)
