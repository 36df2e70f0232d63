"""CSV that is safe to open in a spreadsheet.

A spreadsheet runs a cell that begins with ``=``, ``+``, ``-``, ``@``, tab or carriage return as a formula,
so an asset named ``=HYPERLINK(...)`` in somebody's file could act on the reader's machine. Such text gets
an apostrophe in front, which a spreadsheet shows as plain text. Numbers stay numbers: a minus sign before
digits is no formula.

Source: OWASP, "CSV Injection".
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""First characters that some spreadsheet takes for the start of a formula (full-width forms included)."""


def safe_cell(value: str) -> str:
    """``value`` with an apostrophe in front if a spreadsheet might run it.

    Leading blanks are looked through: some programs strip them before they look for a formula.
    """
    return "'" + value if value.startswith(FORMULA_STARTS) or value.lstrip().startswith(FORMULA_STARTS) else value


def safe_text(column: str) -> pl.Expr:
    """:func:`safe_cell` for a whole text column; nulls stay null."""
    text = pl.col(column).cast(pl.String)
    starts = "".join(FORMULA_STARTS)
    risky = text.str.contains(r"^[\s\x1c-\x1f]*[" + "".join("\\" + c if c in "-+=@" else c for c in starts) + "]")
    return pl.when(risky).then(pl.lit("'") + text).otherwise(text).alias(column)


def write_csv(frame: pl.DataFrame, path: Path) -> None:
    """Write ``frame`` as CSV (UTF-8, comma, LF, header) with no cell that begins a formula.

    Text columns (and the header) are made safe; numbers, dates and booleans are written as they are,
    missing values as empty cells. Raises ValueError for list, struct or binary columns: what would stand in
    the cell is not defined.
    """
    nested = [name for name, kind in frame.schema.items() if kind.is_nested() or kind in (pl.Binary, pl.Object)]
    if nested:
        raise ValueError(f"columns {nested} have no single value a cell: a CSV cannot hold them")
    text = [name for name, kind in frame.schema.items() if kind in (pl.String, pl.Categorical) or isinstance(kind, pl.Enum)]
    safe = frame.with_columns([safe_text(name) for name in text]).rename(safe_cell)
    safe.write_csv(path, separator=",", line_terminator="\n", quote_style="necessary")
