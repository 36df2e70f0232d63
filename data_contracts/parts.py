"""A table on disk: one Parquet file, or a folder of that name with one for each file of the source, in order of names.

Polars reads either by its path. A part that need not change is linked, never written again.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pyarrow.parquet as pq


def part_files(path: Path) -> list[Path]:
    """The table's Parquet files, in order."""
    return sorted(path.glob("*.parquet")) if path.is_dir() else [path]


def row_count(path: Path) -> int:
    """Rows of the table, by the footers of its files."""
    return sum(int(pq.read_metadata(part).num_rows) for part in part_files(path))


def null_counts(footer: pq.FileMetaData) -> dict[str, int | None]:
    """Nulls of each column by its path, as the statistics of a file say that we wrote; None where they do not."""
    groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
    counts: dict[str, int | None] = {}
    for place in range(footer.num_columns):
        known = [group.column(place).statistics for group in groups]
        said = all(one is not None and one.has_null_count for one in known)
        counts[footer.schema.column(place).path] = sum(int(one.null_count) for one in known) if said else None
    return counts


def link(source: Path, to: Path) -> None:
    """Makes ``to`` the same file as ``source``, or a copy where the file system has no links."""
    to.parent.mkdir(parents=True, exist_ok=True)
    to.unlink(missing_ok=True)
    try:
        os.link(source, to)
    except OSError:
        shutil.copyfile(source, to)
