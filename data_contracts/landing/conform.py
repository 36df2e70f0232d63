"""From a source's columns to a canonical table: one expression a column, and what could not be converted, said.

Nothing is repaired here. A field whose text is not of its column's type becomes null, its column is named in
``_type_errors``, and the raw row is kept as JSON; the contract's rule ``type`` then sends the row to quarantine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final, Literal

import polars as pl
import pyarrow.parquet as pq

from data_contracts import columns as c
from data_contracts.contract import Column, Contract
from data_contracts.errors import LandingError
from data_contracts.landing.days import day_of_datetime, day_of_text, has_timestamps, unpadded
from data_contracts.landing.drift import NOT_READ, hint_of_renaming, kind_of_dtype, kinds_of
from data_contracts.landing.files import CsvFile
from data_contracts.landing.landed import LandedTable, SourceFile
from data_contracts.landing.partitions import Partitions
from data_contracts.landing.unlike import FileColumns, unlike
from data_contracts.landing.unreadable import readable
from data_contracts.parts import null_counts, row_count
from data_contracts.printable import printable
from data_contracts.storage import write_parts
from data_contracts.transactions import last_possible_date

FutureRows = Literal["withhold", "block"]

# Tables whose text is checked character by character. In the others identifiers are compared with these, and the rest
# is codes; at a hundred million trades the check would cost as much as reading them.
DESCRIBING: Final = frozenset({"assets", "customers", "markets", "restricted"})
# Control and format characters (zero-width blanks, direction marks, the mark of a lost character): no field has them.
_UNPRINTABLE = r"[\p{Cc}\p{Cf}\u{FFFD}]"
# How other systems write that a value is absent.
_ABSENT = ("NULL", "null", "Null", "(null)", "N/A", "n/a", "#N/A", "NA", "NaN", "nan", "None", "none", "NONE", "\\N")
_REMEDY = "export the file again; if it opens elsewhere, look for an unpaired double quote or a damaged page"
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}


@dataclass(frozen=True)
class Part:
    """One source file, ready to be converted.

    ``frame`` has the source's columns and c.SOURCE_ROW; ``values`` says how each canonical column is obtained from
    them (a column left out is null in every row); ``raw`` are the source's own columns, for the quarantine.
    ``check_text``: its text may hold control characters; ``open_row`` and ``open_column``: the record and column that end
    the file without a line break, so that the field may have been cut.
    """

    file: SourceFile
    frame: pl.LazyFrame
    values: Mapping[str, pl.Expr]
    raw: tuple[str, ...]
    check_text: bool = True
    open_row: int | None = None
    open_column: str | None = None


def csv_part(file: CsvFile, values: Mapping[str, pl.Expr], raw: tuple[str, ...]) -> Part:
    """A checked CSV file as a part."""
    return Part(file.source, file.scan(), values, raw, file.check_text, file.open_row, file.header[-1])


def text(column: str) -> pl.Expr:
    """The column's text; empty text is null. Blanks around it are left: the contract's repairs take them off, counted."""
    return pl.when(pl.col(column).str.strip_chars() != "").then(pl.col(column))


def word(column: str) -> pl.Expr:
    """The column's text as a lower-case word with underscores: a code of the source's format, translated."""
    return text(column).str.strip_chars().str.to_lowercase().str.replace_all(r"[ \-]+", "_")


def require_columns(
    name: str, found: Sequence[str], needed: Sequence[str], frame: pl.LazyFrame, contract: Contract | None = None
) -> None:
    """Raises LandingError naming the columns that are missing, those that were found, and what may have been renamed.

    ``frame``: the file, whose first values say of what kind a column is; ``contract``: what kind is asked for, where the
    source's columns have the contract's names.
    """
    missing = [column for column in needed if column not in found]
    if missing:
        noun = "column" if len(missing) == 1 else "columns"
        shown = printable(", ".join(found), 400)
        hint = "; is it separated by semicolons?" if len(found) == 1 and ";" in found[0] else ""
        with readable(name, remedy=_REMEDY):
            unread = {column: kind for column, kind in kinds_of(frame).items() if column not in needed}
        wanted = {column.name: kind_of_dtype(column.dtype) for column in contract.columns} if contract is not None else {}
        renamed = printable(hint_of_renaming(missing, wanted, unread), 400)
        raise LandingError(
            f"{name}: {noun} {', '.join(missing)} missing (found {shown}{hint}){renamed}",
            remedy="export the columns under these names, separated by commas; more columns do no harm",
        )


def land(
    contract: Contract,
    parts: Sequence[Part],
    into: Path,
    as_of: date,
    future_rows: FutureRows,
    notes: Sequence[str] = (),
    time_zone: str = "UTC",
    partitions: Partitions | None = None,
) -> LandedTable:
    """Converts and writes the parts as ``into``/TABLE.parquet, streaming: one file, or a folder with one for each of several.

    With ``withhold`` the predicate on the row's date is part of the scan: a row after as_of is counted, not read.
    ``time_zone``: the firm's, whose calendar the day of a timestamp is taken from.
    ``partitions``: parts of earlier nights, re-used where the source file is the same.
    """
    path = into / f"{contract.table}.parquet"
    into.mkdir(parents=True, exist_ok=True)
    landed = sum(part.file.rows for part in parts)
    if not parts:
        empty_table(contract).write_parquet(path)
        return LandedTable(contract.table, path, 0, 0, 0, (), tuple(notes))
    if len(parts) > 1:
        path.mkdir(exist_ok=True)
    places = [path / Path(part.file.name).name if len(parts) > 1 else path for part in parts]
    withhold = future_rows == "withhold" and contract.date_column is not None
    not_after = as_of if withhold else None
    with ThreadPoolExecutor(2) as pool:  # what is kept is hashed, which lets other threads run

        def take(part: Part, place: Path) -> bool:
            return partitions is not None and partitions.take(contract, part.file, place, not_after)

        taken = list(pool.map(take, parts, places))
    fresh = [(part, place) for part, place, known in zip(parts, places, taken, strict=True) if not known]
    with readable(f"{contract.table}: {_names(parts)}", remedy=_REMEDY):
        columns = _seen(parts)
        typed = [_typed(contract, part, time_zone) for part, _ in fresh]
        known = [_known(contract, rows, as_of, withhold) for rows in typed]
        facts = pl.concat(known).collect(engine="streaming").to_dicts() if known else []
        kept = [_kept_rows(contract, rows, fact, as_of) for rows, fact in zip(typed, facts, strict=True)]
        write_parts({place: rows for (_, place), rows in zip(fresh, kept, strict=True)}, path)
        read = row_count(path)
    withheld = sum(fact["withheld"] for fact in facts)
    if read + withheld != landed:
        # Two readers of the same file must see the same rows; a stray quote can make them differ.
        raise LandingError(
            f"{_names(parts)}: {landed} records by one reader, {read + withheld} by another",
            remedy="look for an unpaired double quote inside a field and write it twice",
        )
    if partitions is not None:
        for (part, place), fact in zip(fresh, facts, strict=True):
            if not fact["withheld"]:
                partitions.keep(contract, part.file, place, fact["newest"])
    differing = unlike(contract, [_columns_of(part, place) for part, place in zip(parts, places, strict=True) if part.file.rows])
    given = {name for part in parts for name in part.values}
    left_out = {column.name: kind_of_dtype(column.dtype) for column in contract.columns if column.name not in given}
    told = (*notes, *_said_of_columns(columns), *_said_of_days(columns, time_zone))
    files = tuple(part.file for part in parts)
    return LandedTable(contract.table, path, landed, read, withheld, files, told, columns, left_out, unlike=differing)


def _columns_of(part: Part, place: Path) -> FileColumns:
    """The columns of the source under the contract's names that the part has, with their types.

    Which of them have no value is read from the file that was written, never from the source's statistics: those of a damaged
    file can end the process. Where a field did not convert, no column counts as empty.
    """
    schema = part.frame.collect_schema()
    footer = pq.read_metadata(place)
    asked = footer.num_rows > 0 and c.TYPE_ERRORS not in footer.schema.to_arrow_schema().names
    empty = frozenset(name for name, nulls in null_counts(footer).items() if asked and nulls == footer.num_rows)
    return FileColumns(part.file.name, {name: schema[name] for name in part.raw if name in part.values}, empty)


def _seen(parts: Sequence[Part]) -> dict[str, str]:
    """Kind of every column of the source by its name; of several files the first with a value in it says it."""
    seen: dict[str, str] = {}
    for part in parts:
        names = [name for name in part.frame.collect_schema().names() if not name.startswith("_")]
        if all(not seen.get(name, "empty").startswith("empty") for name in names):
            continue  # a table of a thousand files is not looked at a thousand times
        used = {root for value in part.values.values() for root in value.meta.root_names()}
        for name, kind in kinds_of(part.frame).items():
            if seen.get(name, "empty").startswith("empty"):
                seen[name] = kind if name in used else kind + NOT_READ
    return seen


def _said_of_columns(columns: Mapping[str, str]) -> list[str]:
    unread = [printable(name) for name, kind in columns.items() if kind.endswith(NOT_READ)]
    shown = ", ".join(unread[:8]) + (f" and {len(unread) - 8} more" if len(unread) > 8 else "")
    return [f"columns that are not read: {shown}"] if unread else []


def _said_of_days(columns: Mapping[str, str], time_zone: str) -> list[str]:
    """Which columns of timestamps were read as days, and whose; NOT_READ stands behind the kind of those that were not."""
    moments = [name for name, kind in columns.items() if kind == "timestamp"]
    return [f"{printable(name)}: timestamps read as days in {time_zone}" for name in moments]


def _known(contract: Contract, rows: pl.LazyFrame, as_of: date, withhold: bool) -> pl.LazyFrame:
    """What must be known of a part before it is written: one row of withheld (rows), newest (day), failed (fields),
    respelt (rows)."""
    dated = contract.date_column is not None
    day = row_date(contract) if dated else pl.lit(None, pl.Date)
    return rows.select(
        ((day > as_of).fill_null(False).sum() if withhold else pl.lit(0)).cast(pl.Int64).alias("withheld"),
        day.max().alias("newest"),
        pl.col(c.TYPE_ERRORS).list.len().sum().cast(pl.Int64).alias("failed"),
        pl.col(c.RESPELT).count().cast(pl.Int64).alias("respelt"),
    )


def _kept_rows(contract: Contract, rows: pl.LazyFrame, fact: Mapping[str, Any], as_of: date) -> pl.LazyFrame:
    """The rows of a part that are read; where every field converted as it is, without the columns that would say otherwise."""
    if fact["withheld"]:
        rows = rows.filter(~(row_date(contract) > as_of).fill_null(False))
    idle = [] if fact["failed"] else [c.TYPE_ERRORS, c.RAW]
    return rows.drop(idle if fact["respelt"] else [*idle, c.RESPELT])


def row_date(contract: Contract) -> pl.Expr:
    """The day from which a row is known for certain: its date, or the end of a trade's window."""
    if contract.date_column is None:
        raise ValueError(f"{contract.table} is not dated")
    return last_possible_date() if contract.table == "transactions" else pl.col(contract.date_column)


def empty_table(contract: Contract) -> pl.DataFrame:
    """A landed table without rows."""
    provenance = {
        c.SOURCE_FILE: pl.String(),
        c.SOURCE_ROW: pl.Int64(),
        c.TYPE_ERRORS: pl.List(pl.String()),
        c.RAW: pl.String(),
        c.RESPELT: pl.String(),
    }
    return pl.DataFrame(schema={**contract.schema, **provenance})


def _typed(contract: Contract, part: Part, time_zone: str) -> pl.LazyFrame:
    """The part in the contract's schema and order, with the four columns that say where each row came from."""
    given = [column for column in contract.columns if column.name in part.values]
    # Two steps, so that the type of what the source gives is known before it is converted.
    sources = part.frame.select(
        *(part.values[column.name].alias(column.name) for column in given),
        pl.lit(part.file.name).alias(c.SOURCE_FILE),
        pl.col(c.SOURCE_ROW).cast(pl.Int64),
        pl.struct(part.raw).alias(c.RAW),
    )
    types = sources.collect_schema()
    days = sources.select(column.name for column in given if column.dtype == pl.Date())
    moments = has_timestamps(days)
    typed = {
        column.name: day_of_text(pl.col(column.name), time_zone)
        if column.name in moments
        else _convert(part, column, types[column.name], time_zone)
        for column in given
    }
    if part.open_row is not None:
        # The end of the last field was not seen: "101.5" may have been cut to "10".
        seen = pl.col(c.SOURCE_ROW) != part.open_row
        cut = [name for name in typed if part.open_column in part.values[name].meta.root_names()]
        typed |= {name: pl.when(seen).then(typed[name]) for name in cut}
    texts = [name for name in typed if types[name] == pl.String() and contract.column(name).dtype == pl.Date()]
    padded = {name: typed[name].is_not_null() & unpadded(pl.col(name), moments=name in moments) for name in texts}
    respelt = [pl.when(short).then(pl.col(name)).alias(name) for name, short in padded.items()]
    # A column that is taken as it is cannot fail.
    converted = {name: value for name, value in typed.items() if not value.meta.eq(pl.col(name))}
    failed = [pl.lit(False), *(pl.col(name).is_not_null() & value.is_null() for name, value in converted.items())]
    names = [None, *converted]
    errors = pl.concat_list([pl.when(bad).then(pl.lit(n, pl.String)) for n, bad in zip(names, failed, strict=True)])
    return sources.select(
        *(typed.get(column.name, pl.lit(None, dtype=column.dtype)).alias(column.name) for column in contract.columns),
        c.SOURCE_FILE,
        c.SOURCE_ROW,
        errors.list.drop_nulls().alias(c.TYPE_ERRORS),
        pl.when(pl.any_horizontal(failed)).then(pl.col(c.RAW).struct.json_encode()).alias(c.RAW),
        _json_of_those(respelt).alias(c.RESPELT),
    )


def _json_of_those(texts: Sequence[pl.Expr]) -> pl.Expr:
    """The texts as one JSON object by their names; null where all of them are."""
    if not texts:
        return pl.lit(None, pl.String)
    return pl.when(pl.any_horizontal(text.is_not_null() for text in texts)).then(pl.struct(texts).struct.json_encode())


def _convert(part: Part, column: Column, found: pl.DataType, time_zone: str) -> pl.Expr:
    """The column in its contract's type; null where a value does not convert. Raises LandingError if none could."""
    value, wanted = pl.col(column.name), column.dtype
    if found == pl.Null():
        return value.cast(wanted)
    if isinstance(found, pl.Categorical | pl.Enum):
        value, found = value.cast(pl.String), pl.String()
    if found == pl.String():
        parsed, bare = _parse(value, wanted), value.str.strip_chars()
        if wanted == pl.String() and part.check_text:
            parsed = pl.when(~bare.str.contains(_UNPRINTABLE)).then(parsed)
        return parsed if column.nullable else pl.when(~bare.is_in(_ABSENT)).then(parsed)
    if found == wanted:
        return pl.when(value.is_finite()).then(value) if wanted.is_float() else value
    if found.is_numeric() and wanted.is_numeric():
        cast = value.cast(wanted, strict=False)
        if wanted.is_float():
            return pl.when(cast.is_finite()).then(cast)
        return pl.when(cast.cast(pl.Float64) == value.cast(pl.Float64)).then(cast)
    if isinstance(found, pl.Datetime) and wanted == pl.Date():
        return day_of_datetime(value, found, time_zone)
    if found.is_integer() and wanted == pl.String():
        return value.cast(pl.String)
    raise LandingError(
        f"{part.file.name}: column {column.name} is of type {found}, which cannot be read as {wanted}",
        remedy=f"export {column.name} as {wanted} ({column.meaning})",
    )


def _parse(value: pl.Expr, wanted: pl.DataType) -> pl.Expr:
    """Text to the wanted type; null where it is not of that type."""
    if wanted == pl.String():
        return value
    value = value.str.strip_chars()  # blanks are no part of a number or a date
    if wanted == pl.Date():
        return value.str.to_date("%Y-%m-%d", strict=False)
    if wanted == pl.Boolean():
        return value.str.to_lowercase().replace_strict(_BOOLEANS, default=None, return_dtype=pl.Boolean)
    number = value.cast(wanted, strict=False)
    # "nan" and "inf" are numbers to a parser and holes to everyone else.
    return pl.when(number.is_finite()).then(number) if wanted.is_float() else number


def _names(parts: Sequence[Part]) -> str:
    names = [part.file.name for part in parts]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
