"""Ways to change a file of a delivery, as functions of its folder. Rows are numbered from 1, as messages number them."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import polars as pl

Edit = Callable[[Path], None]
Value = str | Callable[[str], str]


def content(name: str, change: Callable[[bytes], bytes]) -> Edit:
    """The file's bytes, changed."""

    def edit(folder: Path) -> None:
        (folder / name).write_bytes(change((folder / name).read_bytes()))

    return edit


def text(name: str, change: Callable[[str], str]) -> Edit:
    """The file's text, changed."""
    return content(name, lambda data: change(data.decode()).encode())


def lines(name: str, change: Callable[[list[str]], Iterable[str]]) -> Edit:
    """The file's lines without their breaks, the header first, changed."""
    return text(name, lambda whole: "".join(f"{line}\n" for line in change(whole.splitlines())))


def cells(name: str, rows: Iterable[int], /, **values: Value) -> Edit:
    """The raw text of fields (quotes and all) in the rows of these numbers; a function is given the old text."""
    numbers = list(rows)

    def change(every: list[str]) -> list[str]:
        places = {column: _split(every[0]).index(column) for column in values}
        for number in numbers:
            fields = _split(every[number])
            for column, value in values.items():
                old = fields[places[column]]
                fields[places[column]] = value if isinstance(value, str) else value(old)
            every[number] = ",".join(fields)
        return every

    return lines(name, change)


def cell(name: str, row: int, /, **values: Value) -> Edit:
    """The same of one row."""
    return cells(name, [row], **values)


def column(name: str, /, **values: Value) -> Edit:
    """The same of every row."""

    def edit(folder: Path) -> None:
        cells(name, range(1, len((folder / name).read_text().splitlines())), **values)(folder)

    return edit


def header(name: str, /, **names: str) -> Edit:
    """Columns renamed in the header alone; all at once, so that two may swap their names."""
    return lines(name, lambda every: [",".join(names.get(one, one) for one in every[0].split(",")), *every[1:]])


def columns(name: str, order: Callable[[list[str]], Sequence[str]]) -> Edit:
    """Columns reordered or left out, with their fields."""

    def change(every: list[str]) -> list[str]:
        names = every[0].split(",")
        places = [names.index(one) for one in order(names)]
        return [",".join(fields[place] for place in places) for fields in map(_split, every)]

    return lines(name, change)


def drop(name: str, gone: Callable[[int, list[str]], bool]) -> Edit:
    """Without the rows (number, fields) that are ``gone``."""
    return lines(name, lambda every: [line for n, line in enumerate(every) if not (n and gone(n, _split(line)))])


def again(name: str, row: int, /, **values: Value) -> Edit:
    """A copy of a row at the end, with other fields."""

    def edit(folder: Path) -> None:
        count = len((folder / name).read_text().splitlines())
        lines(name, lambda every: [*every, every[row]])(folder)
        cell(name, count, **values)(folder)

    return edit


def appended(name: str, line: str) -> Edit:
    """One more line at the end."""
    return lines(name, lambda every: [*every, line])


def shuffled(name: str) -> Edit:
    """The rows in an order that has nothing to do with what they say."""
    return lines(name, lambda every: [every[0], *sorted(every[1:], key=lambda line: hashlib.sha256(line.encode()).digest())])


def parquet(name: str, change: Callable[[pl.DataFrame], pl.DataFrame]) -> Edit:
    """The table of a Parquet file, changed."""

    def rewritten(data: bytes) -> bytes:
        out = io.BytesIO()
        change(pl.read_parquet(io.BytesIO(data))).write_parquet(out)
        return out.getvalue()

    return content(name, rewritten)


def zipped(name: str, change: Callable[[bytes], bytes] = lambda data: data) -> Edit:
    """NAME.gz in place of NAME, and its bytes changed."""

    def edit(folder: Path) -> None:
        packed = gzip.compress((folder / name).read_bytes(), mtime=0)
        (folder / name).unlink()
        (folder / f"{name}.gz").write_bytes(change(packed))

    return edit


def removed(name: str) -> Edit:
    """Without the file."""
    return lambda folder: (folder / name).unlink()


def renamed(name: str, new: str) -> Edit:
    """The file under another name."""

    def edit(folder: Path) -> None:
        (folder / name).replace(folder / new)

    return edit


def added(name: str, data: bytes) -> Edit:
    """A file more."""

    def edit(folder: Path) -> None:
        (folder / name).write_bytes(data)

    return edit


def both(*edits: Edit) -> Edit:
    """One edit after the other."""

    def edit(folder: Path) -> None:
        for one in edits:
            one(folder)

    return edit


def _split(line: str) -> list[str]:
    """The raw texts of a line's fields. A quoted field stays quoted."""
    if '"' not in line:
        return line.split(",")
    return [f'"{field}"' if "," in field else field for field in next(csv.reader([line]))]
