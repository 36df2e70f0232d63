"""Writing a lazy table to disk, and telling a full or read-only disk from a table that cannot be read.

Polars reports both as one kind of error; only the operating system's number inside the message tells them apart.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import polars as pl

from data_contracts.errors import StorageError

# No space, file too large, quota, read-only, not permitted: nothing that another source file would cure.
_DISK = frozenset({errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM})

# Device, inode, size and time of the last change: a rename gives another inode, a write another time.
Stamp = tuple[int, int, int, int]

_KNOWN: dict[Stamp, str] = {}
_LEVEL = 2  # of zstd: trades, closes and holdings come out as small as at the usual 3, sooner
_AT_ONCE = 2  # files written side by side: each holds its row groups in memory


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, read in pieces."""
    with path.open("rb") as handle:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
        _KNOWN[stamp(os.fstat(handle.fileno()))] = digest
    return digest


def known_sha256(path: Path) -> str:
    """``file_sha256``, without reading a file again that this process has hashed and that was not written since.

    To recognise what was seen before; where a file is to be proven unchanged, its bytes are read.
    """
    known = _KNOWN.get(stamp(path.stat()))
    return file_sha256(path) if known is None else known


def stamp(seen: os.stat_result) -> Stamp:
    """What tells a file from any other, and from what it was before it was written to."""
    return seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns


def write_parquet(table: pl.LazyFrame, path: Path) -> None:
    """Streams ``table`` to ``path``. Raises StorageError where the disk refuses; other errors pass as they are."""
    with written(path):
        table.sink_parquet(path, compression_level=_LEVEL)


def write_parts(parts: Mapping[Path, pl.LazyFrame], table: Path) -> None:
    """Streams each part of ``table`` to its path, several at a time. Raises StorageError as ``write_parquet`` does."""
    paths = list(parts)
    with written(table):
        for first in range(0, len(paths), _AT_ONCE):
            pl.collect_all(
                [parts[path].sink_parquet(path, compression_level=_LEVEL, lazy=True) for path in paths[first : first + _AT_ONCE]]
            )


@contextlib.contextmanager
def written(path: Path) -> Iterator[None]:
    """Turns a disk that refuses to write ``path`` into a StorageError, and removes the half that was written."""
    try:
        yield
    except (OSError, pl.exceptions.PolarsError) as error:
        number = error.errno if isinstance(error, OSError) else None
        if number is None and (found := re.search(r"os error (\d+)", str(error))):
            number = int(found.group(1))
        if number not in _DISK:
            raise
        if path.is_dir():
            shutil.rmtree(path)  # half a table is no table
        path.unlink(missing_ok=True)
        raise StorageError(
            f"{path.name} cannot be written to {path.parent}: {os.strerror(number)}",
            remedy="free space or choose a writable home; the run was not published and can be repeated",
        ) from error
