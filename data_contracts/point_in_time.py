"""The law of the house, asked of a file: nothing in it is dated after as_of."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl

from data_contracts.errors import LookAheadError


def assert_point_in_time(path: Path, date_column: str, as_of: date) -> None:
    """Raises LookAheadError (file, number of rows, first such date) where a row is dated after ``as_of``."""
    day = pl.col(date_column)
    later = pl.scan_parquet(path).filter(day > as_of).select(pl.len().alias("rows"), day.min().alias("first"))
    found = later.collect(engine="streaming")
    count, first = int(found["rows"][0]), found["first"][0]
    if count:
        rows = "1 row is" if count == 1 else f"{count:,} rows are"
        raise LookAheadError(
            f"{path.name}: {rows} dated after as_of {as_of} in {date_column} (first date: {first})",
            remedy="this step read more than it may know; read the table as of the date, or report a fault in Nightfolio",
        )
