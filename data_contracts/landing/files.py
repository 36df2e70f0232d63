"""Finding a table's source file, and what is checked of it before anything is parsed: see ``copies`` and ``csv_form``."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl
import pyarrow.parquet as pq

from data_contracts import columns as c
from data_contracts.errors import LandingError
from data_contracts.landing.copies import CHUNK, copy_plain, opened
from data_contracts.landing.csv_form import check_form
from data_contracts.landing.landed import SourceFile
from data_contracts.landing.unreadable import FAULTS, readable
from data_contracts.printable import printable
from data_contracts.storage import written

# Columns that the reader adds to the source's.
OWN_NAMES: Final = (c.SOURCE_FILE, c.SOURCE_ROW, c.TYPE_ERRORS, c.RAW, c.RESPELT)
UNREADABLE: tuple[type[BaseException], ...] = (*FAULTS, OSError)


@dataclass(frozen=True)
class CsvFile:
    """A checked CSV file: ``plain`` is the private copy that is scanned.

    ``check_text``: its text may hold characters that no field should have. ``open_row``: the number of the last record
    where it has no line break, so that its last field may have been cut; None where it has one.
    """

    source: SourceFile
    plain: Path
    header: tuple[str, ...]
    quoted: bool
    check_text: bool
    open_row: int | None

    def scan(self) -> pl.LazyFrame:
        """Every column as text, with c.SOURCE_ROW."""
        quote = '"' if self.quoted else None
        return pl.scan_csv(self.plain, infer_schema=False, quote_char=quote, row_index_name=c.SOURCE_ROW, row_index_offset=1)


@dataclass(frozen=True)
class ParquetFile:
    """A checked Parquet file: ``copy`` is the private copy that is scanned, ``schema`` its columns with their types."""

    source: SourceFile
    copy: Path
    schema: pl.Schema

    def scan(self) -> pl.LazyFrame:
        """Its columns, with c.SOURCE_ROW."""
        return pl.scan_parquet(self.copy, row_index_name=c.SOURCE_ROW, row_index_offset=1)


def find_file(folder: Path, names: Sequence[str]) -> Path | None:
    """The one file of several possible names, or None. Raises LandingError where two of them exist."""
    found = [folder / name for name in names if (folder / name).exists()]
    if len(found) > 1:
        raise LandingError(
            f"{folder}: {' and '.join(path.name for path in found)} both exist",
            remedy="leave one of them; Nightfolio does not guess which is newer",
        )
    return found[0] if found else None


def require_file(folder: Path, table: str, names: Sequence[str]) -> Path:
    """Like ``find_file``, but the file must exist. Raises LandingError naming what was looked for and what is there."""
    path = find_file(folder, names)
    if path is None:
        present = sorted(printable(entry.name) for entry in folder.iterdir())
        shown = ", ".join(present[:12]) + (" ..." if len(present) > 12 else "")
        raise LandingError(
            f"{table}: no file in {folder} (looked for {', '.join(names)}; the folder holds {shown or 'nothing'})",
            remedy="put the file there under one of these names, or choose another --source or source.format",
        )
    return path


def check_csv(path: Path, into: Path) -> CsvFile:
    """Copies one CSV or CSV.GZ file to ``into`` and checks its form.

    Raises LandingError: empty file, not UTF-8 (line and byte), truncated or damaged gzip, a line with more or fewer
    fields than the header, a column name that occurs twice.
    """
    copy = copy_plain(path, into)
    header, rows = check_form(path.name, copy)
    _refuse_own_names(path.name, header)
    return CsvFile(
        SourceFile(path.name, copy.sha256, copy.bytes, rows),
        copy.path,
        header,
        copy.quoted or copy.lone_returns,
        copy.unprintable or copy.quoted or copy.lone_returns,
        rows if copy.ends_open and rows else None,
    )


def check_parquet(path: Path, into: Path, name: str = "") -> ParquetFile:
    """Copies one Parquet file to ``into``; its hash, row count and schema. ``name``: what messages call it, if not its own.

    Raises LandingError where it is truncated or no Parquet, or says different numbers of rows in different places.
    """
    name = name or path.name
    into.mkdir(parents=True, exist_ok=True)
    copy = into / path.name
    digest = hashlib.sha256()
    with opened(path) as stream, written(copy), copy.open("wb") as out:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
            out.write(chunk)
    try:
        footer = pq.read_metadata(copy)
        rows = int(footer.num_rows)
        in_groups = sum(int(footer.row_group(number).num_rows) for number in range(footer.num_row_groups))
    except UNREADABLE as error:
        raise LandingError(
            f"{name}: not a whole Parquet file ({printable(error, 200)})",
            remedy="transfer the file again; a truncated Parquet file has lost its footer",
        ) from error
    if in_groups != rows or rows < 0:
        raise LandingError(f"{name}: the footer says {rows} rows, its row groups {in_groups}", remedy="write the file again")
    with readable(f"{name}: the Parquet schema", remedy="write the file again"):
        schema = pl.scan_parquet(copy).collect_schema()
    _refuse_own_names(name, schema.names())
    return ParquetFile(SourceFile(name, digest.hexdigest(), copy.stat().st_size, rows), copy, schema)


def _refuse_own_names(name: str, columns: Sequence[str]) -> None:
    """Raises LandingError where a column is named like one that the reader adds."""
    taken = [column for column in columns if column in OWN_NAMES]
    if taken:
        raise LandingError(
            f"{name}: {' and '.join(taken)} {'is a name' if len(taken) == 1 else 'are names'} of the reader's own columns",
            remedy=f"rename column {', '.join(taken)} in the source, or leave it out; accepted tables of a run are no source",
        )
