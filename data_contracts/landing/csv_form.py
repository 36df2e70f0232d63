"""Whether every record of a CSV text has as many fields as its header, and how many records there are.

A text without quotes needs no parser for that: its lines are its records, its commas end its fields, and both are
counted in blocks. A text with quotes, or with line breaks of an old Macintosh, is parsed by Python's strict reader and
written anew in the one form that every reader understands alike; parsers differ on stray quotes, and where two of them
disagree a field ends in the wrong column without a word.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data_contracts.errors import LandingError
from data_contracts.landing.copies import CHUNK, PlainCopy
from data_contracts.printable import printable
from data_contracts.storage import written

_NEWLINE, _COMMA = ord("\n"), ord(",")
MOST_BYTES = 1 << 20  # of one line; a longer one is a file without line breaks, not a record


def check_form(name: str, copy: PlainCopy) -> tuple[tuple[str, ...], int]:
    """The header and the number of records of the text; a text with quotes is rewritten in place.

    Raises LandingError: no header, a column twice, a record with more or fewer fields, quotes that do not pair.
    """
    if copy.quoted or copy.lone_returns:
        return _rewrite(name, copy.path)
    with copy.path.open("rb") as stream:
        first = stream.readline(MOST_BYTES + 1)
        if len(first) > MOST_BYTES:
            raise _too_long(name, 1)
        header = _header(name, next(csv.reader([first.decode("utf-8")]), []))
        return header, _count(name, copy.path, len(first), len(header))


def _header(name: str, fields: Sequence[str]) -> tuple[str, ...]:
    if not fields:
        raise LandingError(
            f"{name}: the file is empty (not even a header row)",
            remedy="export the table again with its header",
        )
    header = tuple(fields)
    twice = sorted({column for column in header if header.count(column) > 1})
    if twice:
        raise LandingError(
            f"{name}: column {', '.join(map(printable, twice))} occurs twice in the header", remedy="name every column once"
        )
    return header


def _ragged(name: str, line: int, fields: int, width: int) -> LandingError:
    return LandingError(
        f"{name}: line {line} has {fields} fields, the header has {width}",
        remedy="put fields that contain a comma or a line break in double quotes; remove blank lines",
    )


def _too_long(name: str, line: int) -> LandingError:
    return LandingError(
        f"{name}: line {line} is longer than {MOST_BYTES >> 20} MiB",
        remedy="export the table with a line break after every record",
    )


def _count(name: str, path: Path, start: int, width: int) -> int:
    """Records behind the header of a text without quotes."""
    rows, open_line = 0, b""
    with path.open("rb") as stream:
        stream.seek(start)
        while chunk := stream.read(CHUNK):
            end = chunk.rfind(b"\n") + 1
            if not end:
                open_line += chunk
                if len(open_line) > MOST_BYTES:
                    raise _too_long(name, rows + 2)
                continue
            rows += _lines(name, open_line + chunk[:end], rows, width)
            open_line = chunk[end:]
    return rows + (_lines(name, open_line + b"\n", rows, width) if open_line else 0)


def _lines(name: str, block: bytes, before: int, width: int) -> int:
    """How many whole lines the block has; ``before``: records before it."""
    data = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(data == _NEWLINE)
    commas = np.flatnonzero(data == _COMMA)
    fields = np.diff(np.searchsorted(commas, ends), prepend=0) + 1
    lengths = np.diff(ends, prepend=-1) - 1  # bytes of each line without its break
    empty = (lengths == 0) | ((lengths == 1) & (data[np.maximum(ends - 1, 0)] == ord("\r")))
    fields = np.where(empty, 0, fields)
    if (too_long := np.flatnonzero(lengths > MOST_BYTES)).size:
        raise _too_long(name, before + 2 + int(too_long[0]))
    wrong = np.flatnonzero(fields != width)
    if len(wrong):
        raise _ragged(name, before + 2 + int(wrong[0]), int(fields[wrong[0]]), width)
    return len(ends)


def _rewrite(name: str, path: Path) -> tuple[tuple[str, ...], int]:
    """Parses the text strictly and writes it anew: quotes only where needed, one kind of line break."""
    parsed = path.with_name(path.name + ".parsed")
    with (
        path.open(encoding="utf-8", newline="") as text,
        written(parsed),
        parsed.open("w", encoding="utf-8", newline="") as out,
    ):
        reader, writer = csv.reader(text, strict=True), csv.writer(out, lineterminator="\n")
        try:
            header = _header(name, next(reader, ()))
            writer.writerow(header)
            rows, width = 0, len(header)
            for record in reader:
                if len(record) != width:
                    raise _ragged(name, reader.line_num, len(record), width)
                writer.writerow(record)
                rows += 1
        except csv.Error as error:
            raise LandingError(
                f"{name}: line {reader.line_num} is not well-formed CSV ({error})",
                remedy="write comma-separated values with double quotes where needed",
            ) from error
    parsed.replace(path)
    return header, rows
