"""The texts of a table numbered once, for everything that sorts, groups or looks up by them.

Trades are asked by customer and asset again and again: for repeats, sales beyond holdings, holdings, and twice for
histories. Numbering the texts is the dearest part of each, so it is done once a night, when the table is checked, and the
numbers of the accepted rows are kept beside the snapshot in ``work/codes``, which is never published.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
from pyarrow import feather

from data_contracts.coded import AT_ONCE, Positions, look_up, stretches
from data_contracts.parts import link, part_files
from data_contracts.storage import stamp

NONE: Final = np.uint32(2**32 - 1)  # the code of an absent text

ONE_BATCH: Final = 2**31 - 1  # rows: a column in one piece is mapped, not copied

Codes = npt.NDArray[np.uint32]


@dataclass(frozen=True)
class CodedColumn:
    """``texts``: the distinct values in order (some may occur in no row); ``codes`` [n]: each row's place among them, or NONE."""

    texts: pl.Series
    codes: Codes

    @functools.cached_property
    def present(self) -> Codes:
        """The places that occur in a row, in order."""
        seen = np.zeros(len(self.texts) + 1, np.bool_)  # the last place is that of an absent text
        for some in stretches(len(self.codes), AT_ONCE):
            seen[np.minimum(self.codes[some], len(self.texts))] = True
        return np.flatnonzero(seen[:-1]).astype(np.uint32)

    @property
    def distinct(self) -> pl.Series:
        """The texts that occur in a row, in order."""
        return self.texts.gather(self.present)

    def rows_of(self, marked: npt.NDArray[np.bool_]) -> Positions:
        """[m] the rows with a text that is ``marked`` [texts]; those without a text are not."""
        return np.flatnonzero(look_up(np.append(marked, np.False_), self.codes))


CodedTable = Mapping[str, CodedColumn]


def code_columns(rows: pl.LazyFrame, names: Sequence[str]) -> CodedTable:
    """The named text columns of ``rows``, numbered in one streaming pass."""
    if not names:
        return {}
    kinds = {name: pl.Categorical(pl.Categories.random()) for name in names}
    frame = rows.select(pl.col(name).cast(kind) for name, kind in kinds.items()).collect(engine="streaming")
    return {name: _in_order(frame[name]) for name in names}


def _in_order(column: pl.Series) -> CodedColumn:
    """A categorical column, whose numbers are in the order of their first appearance, numbered in the order of the texts."""
    seen = column.to_physical().cast(pl.UInt32).fill_null(int(NONE)).to_numpy()
    known = seen[seen != NONE] if column.null_count() else seen
    if len(known) == 0:
        return CodedColumn(pl.Series(column.name, [], pl.String), seen)
    numbers = np.arange(int(known.max()) + 1, dtype=np.uint32)
    texts = pl.Series(column.name, numbers).cat.to(column.dtype).cast(pl.String)
    order = texts.arg_sort().to_numpy()
    place = np.full(len(texts) + 1, NONE, np.uint32)  # the last place is that of an absent text
    place[order] = numbers
    return CodedColumn(texts.gather(order), place[np.minimum(seen, len(texts)) if column.null_count() else seen])


def without(coded: CodedTable, rows: npt.NDArray[np.integer[Any]]) -> CodedTable:
    """The table without some of its rows."""
    return {name: CodedColumn(one.texts, np.delete(one.codes, rows)) if len(rows) else one for name, one in coded.items()}


def places(texts: pl.Series, among: pl.Series) -> Codes:
    """[n] the place of each text in ``among`` (distinct, sorted), NONE where it is not there."""
    found = texts.cast(pl.Enum(among), strict=False).to_physical()
    return found.cast(pl.UInt32).fill_null(int(NONE)).to_numpy()


def extended(known: CodedTable, rows: pl.LazyFrame) -> CodedTable:
    """The codes of a table whose first rows are ``known`` and whose others are ``rows``."""
    more, both = code_columns(rows, tuple(known)), {}
    for name, one in known.items():
        new = more[name].texts.filter(~more[name].texts.is_in(one.texts.implode()))
        texts = pl.concat([one.texts, new]).sort() if len(new) else one.texts
        codes = np.empty(len(one.codes) + len(more[name].codes), np.uint32)
        _move(one, texts, codes[: len(one.codes)])
        _move(more[name], texts, codes[len(one.codes) :])
        both[name] = CodedColumn(texts, codes)
    return both


def _move(column: CodedColumn, texts: pl.Series, to: Codes) -> None:
    """Puts the column's codes, as places among ``texts``, which hold all of its own, into ``to``."""
    if column.texts.equals(texts):
        to[:] = column.codes
        return
    look_up(np.append(places(column.texts, texts), NONE), column.codes, to)


def write_codes(folder: Path, coded: CodedTable) -> None:
    """Writes the codes as Arrow files in ``folder``."""
    for name, column in coded.items():
        texts, codes = (folder / file for file in _files(name))
        for file in (texts, codes):
            file.unlink(missing_ok=True)  # another folder may hold it by a link
        feather.write_feather(pa.table({"text": column.texts.to_arrow()}), texts, "uncompressed")
        feather.write_feather(pa.table({"code": column.codes}), codes, "uncompressed", chunksize=ONE_BATCH)


def read_codes(folder: Path, names: Sequence[str]) -> CodedTable:
    """What ``write_codes`` wrote; the codes are mapped, not read."""
    coded = {}
    for name in names:
        texts, codes = (folder / file for file in _files(name))
        mapped = feather.read_table(codes, memory_map=True)["code"]
        coded[name] = CodedColumn(pl.Series(name, feather.read_table(texts)["text"]), one_piece(mapped))
    return coded


def _files(name: str) -> tuple[str, str]:
    """The files of a column: its texts, its codes."""
    return f"{name}.texts.arrow", f"{name}.arrow"


def one_piece(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    """A column of numbers as it lies in the file, where that holds it in one piece."""
    whole: npt.NDArray[Any] = column.chunk(0).to_numpy() if column.num_chunks == 1 else column.to_numpy()
    return whole


def keep_codes(table: Path, coded: CodedTable) -> Path:
    """Keeps the codes of an accepted table in the run's scratch folder, and says in which."""
    folder = _folder(table)
    folder.mkdir(parents=True, exist_ok=True)
    write_codes(folder, coded)
    (folder / "table.json").write_text(json.dumps(_stamp(table)), encoding="utf-8")
    return folder


def link_codes(folder: Path, into: Path, names: Sequence[str]) -> None:
    """The same files in another folder."""
    for name in names:
        for file in _files(name):
            link(folder / file, into / file)


def codes_of(table: Path, names: Sequence[str]) -> CodedTable:
    """The codes of an accepted table: those that were kept when it was checked, or made again where it was not in this run."""
    folder = _folder(table)
    note = folder / "table.json"
    if not note.exists() or json.loads(note.read_text(encoding="utf-8")) != _stamp(table):
        return code_columns(pl.scan_parquet(table), names)
    return read_codes(folder, names)


def _folder(table: Path) -> Path:
    return table.parent.parent / "work" / "codes" / table.stem


def _stamp(table: Path) -> list[list[Any]]:
    """What tells the table's files from any others that may lie there later."""
    return [[part.name, *stamp(part.stat())] for part in part_files(table)]
