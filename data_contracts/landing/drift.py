"""What the source's columns look like, and how they differ from what the contract or the last delivery had.

The kind of a column (integer, decimal, date, timestamp, boolean, text, empty) is its type where the file has types, and
else what its first values can be read as. Names are compared without case and underscores.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

SAMPLE: Final = 1_000  # rows looked at where the file has no types
NOT_READ: Final = ", not read"
_WORD: Final = 4  # letters: a shorter name is in many others by chance
_ALIKE: Final = 0.75  # share of letters in common, in order, from which a name looks like another
_PATTERNS: Final = (
    ("integer", r"^[+-]?\d+$"),
    ("decimal", r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"),
    ("date", r"^\d{4}-\d{1,2}-\d{1,2}$"),
    ("timestamp", r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}"),
    ("boolean", r"^(?i:true|false|yes|no)$"),
)
# What a column may turn into without anything being lost or misread.
_COMPATIBLE: Final = frozenset({("integer", "decimal"), ("decimal", "integer"), ("date", "timestamp"), ("timestamp", "date")})


@dataclass(frozen=True)
class Change:
    """How a table's columns differ: each a finished phrase, e.g. ``volume (integer) is new``."""

    new: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    renamed: tuple[str, ...] = ()
    retyped: tuple[str, ...] = ()


def kinds_of(frame: pl.LazyFrame) -> dict[str, str]:
    """Kind of every column of the source; names that begin with an underscore are the reader's own."""
    schema = frame.collect_schema()
    names = [name for name in schema if not name.startswith("_")]
    texts = [name for name in names if schema[name] == pl.String()]
    sample = frame.select(texts).head(SAMPLE).collect() if texts else pl.DataFrame()
    return {name: _kind_of_text(sample[name]) if name in texts else _kind_of_type(schema[name]) for name in names}


def _kind_of_type(dtype: pl.DataType) -> str:
    if dtype.is_integer():
        return "integer"
    if dtype.is_numeric():
        return "decimal"
    if isinstance(dtype, pl.Datetime):
        return "timestamp"
    simple = {pl.Date(): "date", pl.Boolean(): "boolean", pl.Null(): "empty"}
    return simple.get(dtype, "text")


def _kind_of_text(values: pl.Series) -> str:
    stripped = values.drop_nulls().str.strip_chars()
    filled = stripped.filter(stripped != "")
    if filled.is_empty():
        return "empty"
    return next((kind for kind, pattern in _PATTERNS if filled.str.contains(pattern).all()), "text")


def bare(name: str) -> str:
    """A name without case, blanks, underscores and hyphens."""
    return re.sub(r"[\s_\-]+", "", name).lower()


def alike(name: str, others: Iterable[str]) -> str | None:
    """The one of ``others`` whose name holds ``name`` or looks most like it; None where none does."""
    by_bare = {bare(other): other for other in others}
    holding = [other for short, other in by_bare.items() if len(bare(name)) >= _WORD and bare(name) in short]
    if len(holding) == 1:
        return holding[0]
    found = difflib.get_close_matches(bare(name), by_bare, n=1, cutoff=_ALIKE)
    return by_bare[found[0]] if found else None


def renamed_to(missing: str, kind: str | None, unread: Mapping[str, str]) -> str | None:
    """Which column that is not read may be the missing one: by its name, else the only one of its kind."""
    named = alike(missing, unread)
    if named is not None:
        return named
    same = [name for name, other in unread.items() if kind is not None and kind not in ("text", "empty") and other == kind]
    return same[0] if len(same) == 1 else None


def kind_of_dtype(dtype: pl.DataType) -> str:
    """The kind that a contract's column asks for."""
    return _kind_of_type(dtype)


def hint_of_renaming(missing: Sequence[str], wanted: Mapping[str, str], unread: Mapping[str, str]) -> str:
    """``; is timestamp now called date?`` for every missing column that another may be; empty where none may."""
    pairs = ((name, renamed_to(name, wanted.get(name), unread)) for name in missing)
    return "".join(f"; is {name} now called {other}?" for name, other in pairs if other is not None)


def compare(seen: Mapping[str, str], before: Mapping[str, str], left_out: Mapping[str, str]) -> Change:
    """How ``seen`` (column to kind, NOT_READ behind it where the reader has no use for it) differs.

    ``before``: the same at the last publication, empty where there is none. ``left_out``: columns of the contract that
    the source does not deliver, with the kind they ask for.
    """
    kinds, was = _plain(seen), _plain(before)
    gone = {name: kind for name, kind in was.items() if name not in kinds} if was else {}
    new = {name: kind for name, kind in kinds.items() if name not in was} if was else {}
    unread = {name: kinds[name] for name, kind in seen.items() if kind.endswith(NOT_READ)}
    renamed: dict[str, str] = {}
    for name, kind in gone.items():
        other = renamed_to(name, kind, {column: kind for column, kind in new.items() if column in unread})
        if other is not None:
            renamed[name] = other
    for name in left_out:
        other = alike(name, unread)
        if other is not None and other not in renamed.values():
            renamed[name] = other
    changed = [
        name
        for name, kind in kinds.items()
        if name in was and kind != was[name] and "empty" not in (kind, was[name]) and (was[name], kind) not in _COMPATIBLE
    ]
    return Change(
        new=tuple(f"{name} ({kind})" for name, kind in new.items() if name not in renamed.values()),
        missing=tuple(f"{name} ({kind})" for name, kind in gone.items() if name not in renamed),
        renamed=tuple(f"{other} looks like {name}" for name, other in renamed.items()),
        retyped=tuple(f"{name} (was {was[name]}, is {kinds[name]})" for name in changed),
    )


def _plain(columns: Mapping[str, str]) -> dict[str, str]:
    return {name: kind.removesuffix(NOT_READ) for name, kind in columns.items()}
