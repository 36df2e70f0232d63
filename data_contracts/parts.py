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


def link(source: Path, to: Path) -> None:
    """Makes ``to`` the same file as ``source``, or a copy where the file system has no links."""
    to.parent.mkdir(parents=True, exist_ok=True)
    to.unlink(missing_ok=True)
    try:
        os.link(source, to)
    except OSError:
        shutil.copyfile(source, to)
