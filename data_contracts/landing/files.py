"""One pass over a source file before anything is parsed: hash, decompress, check the encoding and the form.

A CSV file is read once, as a stream: SHA-256 of the bytes as they lie there, gunzip into a plain copy where needed,
UTF-8 check, and a count of records with the same number of fields as the header. Polars then scans the plain file;
it would fill short lines with nulls and stop at others with a message about its own options.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import hashlib
import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

import pyarrow.lib
import pyarrow.parquet as pq

from data_contracts.errors import LandingError
from data_contracts.landing.landed import SourceFile

_CHUNK = 1 << 20  # bytes


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...


@dataclass(frozen=True)
class CsvFile:
    """A checked CSV file: ``plain`` is what may be scanned (the source itself, or a decompressed copy)."""

    source: SourceFile
    plain: Path
    header: tuple[str, ...]


class _Tee(io.RawIOBase):
    """Reads a binary stream and passes every byte on to a hash and, where given, to a copy."""

    def __init__(self, stream: IO[bytes], digest: _Hash | None = None, copy: IO[bytes] | None = None) -> None:
        self._stream, self._digest, self._copy = stream, digest, copy

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object, /) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]
        data = self._stream.read(len(view))
        view[: len(data)] = data
        if self._digest is not None:
            self._digest.update(data)
        if self._copy is not None:
            self._copy.write(data)
        return len(data)


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
        present = sorted(entry.name for entry in folder.iterdir())
        shown = ", ".join(present[:12]) + (" ..." if len(present) > 12 else "")
        raise LandingError(
            f"{table}: no file in {folder} (looked for {', '.join(names)}; the folder holds {shown or 'nothing'})",
            remedy="put the file there under one of these names, or choose another --source or source.format",
        )
    return path


def check_csv(path: Path, into: Path) -> CsvFile:
    """Checks one CSV or CSV.GZ file in one streaming pass. ``into``: folder for the decompressed copy.

    Raises LandingError: empty file, not UTF-8 (line and byte), truncated or damaged gzip, a line with more or fewer
    fields than the header, a column name that occurs twice.
    """
    compressed = path.suffix == ".gz"
    plain = into / path.name.removesuffix(".gz") if compressed else path
    digest = hashlib.sha256()
    copy: IO[bytes] | None = None
    try:
        with path.open("rb") as stream:
            raw = io.BufferedReader(_Tee(stream, digest), _CHUNK)
            if compressed:
                into.mkdir(parents=True, exist_ok=True)
                copy = plain.open("wb")
            source: IO[bytes] = gzip.GzipFile(fileobj=raw) if compressed else raw  # type: ignore[assignment]
            text = io.TextIOWrapper(io.BufferedReader(_Tee(source, copy=copy), _CHUNK), "utf-8-sig", newline="")
            header, rows = _check_records(path, text)
            while raw.read(_CHUNK):  # whatever lies behind the last gzip member belongs to the hash too
                pass
    except UnicodeDecodeError as error:
        raise _not_utf8(path, compressed) from error
    except EOFError as error:
        raise LandingError(
            f"{path.name}: the gzip file is truncated (it ends before its end-of-stream marker)",
            remedy="transfer the file again and compare its size with the sender's",
        ) from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise LandingError(
            f"{path.name}: not a sound gzip file ({error})",
            remedy="compress the file again with gzip, or send plain CSV",
        ) from error
    finally:
        if copy is not None:
            copy.close()
    return CsvFile(SourceFile(path.name, digest.hexdigest(), path.stat().st_size, rows), plain, header)


def _check_records(path: Path, text: io.TextIOWrapper) -> tuple[tuple[str, ...], int]:
    """The header and the number of records after it."""
    reader = csv.reader(text, strict=True)
    try:
        header = tuple(next(reader, ()))
        if not header:
            raise LandingError(
                f"{path.name}: the file is empty (not even a header row)",
                remedy="export the table again with its header",
            )
        twice = sorted({name for name in header if header.count(name) > 1})
        if twice:
            raise LandingError(
                f"{path.name}: column {', '.join(twice)} occurs twice in the header",
                remedy="name every column once",
            )
        width, rows = len(header), 0
        for record in reader:
            if len(record) != width:
                raise LandingError(
                    f"{path.name}: line {reader.line_num} has {len(record)} fields, the header has {width}",
                    remedy="put fields that contain a comma or a line break in double quotes; remove blank lines",
                )
            rows += 1
    except csv.Error as error:
        raise LandingError(
            f"{path.name}: line {reader.line_num} is not well-formed CSV ({error})",
            remedy="write comma-separated values with double quotes where needed",
        ) from error
    return header, rows


def _not_utf8(path: Path, compressed: bool) -> LandingError:
    """Reads the file again to say where the first wrong byte is (only ever on the way to an error)."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    before, lines = 0, 0
    place = ""
    with gzip.open(path) if compressed else path.open("rb") as stream:
        pending = b""
        while chunk := stream.read(_CHUNK):
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError as error:
                # error.start counts from the bytes that the decoder still held back.
                at = error.start - len(pending)
                line = lines + chunk[: max(at, 0)].count(b"\n") + 1
                byte = error.object[error.start]
                place = f" at line {line}, byte {before + at} (0x{byte:02x})"
                break
            pending = decoder.getstate()[0]
            before += len(chunk)
            lines += chunk.count(b"\n")
    return LandingError(
        f"{path.name}: not UTF-8{place}",
        remedy="export the file as UTF-8 (often it is Windows-1253 or Latin-1)",
    )


def check_parquet(path: Path) -> SourceFile:
    """Hashes a Parquet file and reads its row count. Raises LandingError where it is truncated or no Parquet."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    try:
        rows = int(pq.read_metadata(path).num_rows)
    except (pyarrow.lib.ArrowException, OSError) as error:
        raise LandingError(
            f"{path.name}: not a whole Parquet file ({error})",
            remedy="transfer the file again; a truncated Parquet file has lost its footer",
        ) from error
    return SourceFile(path.name, digest.hexdigest(), path.stat().st_size, rows)
