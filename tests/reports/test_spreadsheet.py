"""No cell of a CSV begins a formula; numbers stay numbers."""

from __future__ import annotations

import csv
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.spreadsheet import FORMULA_STARTS, safe_cell, safe_text, write_csv

HOSTILE = ["=1+1", "+49 30", "-5", "@SUM(A1)", "\tx", "\rx", "\n=x", " =1", '=HYPERLINK("http://x","y")', "＝1"]


@pytest.mark.parametrize("text", HOSTILE)
def test_formula_is_disarmed(text: str) -> None:
    assert safe_cell(text) == "'" + text


@pytest.mark.parametrize("text", ["", "plain", "a=b", "3 - 4", "'quoted", "Société Générale"])
def test_plain_text_is_left_alone(text: str) -> None:
    assert safe_cell(text) == text


def test_file_holds_no_formula_and_keeps_numbers(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "asset": [*HOSTILE, "Kestrel, Moor & Co", None],
            "score": [-1.5] * 12,
            "rank": list(range(12)),
            "as_of": [date(2021, 6, 30)] * 12,
            "=header": ["x"] * 12,
        }
    )
    write_csv(frame, tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as lines:
        header, *rows = csv.reader(lines)
    assert header == ["asset", "score", "rank", "as_of", "'=header"]
    assert [row[0] for row in rows] == ["'" + text for text in HOSTILE] + ["Kestrel, Moor & Co", ""]
    assert rows[0][1:4] == ["-1.5", "0", "2021-06-30"]
    back = pl.read_csv(tmp_path / "out.csv")
    assert back["score"].to_list() == [-1.5] * 12


def test_categories_are_text_too(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": ["=1"]}).with_columns(b=pl.col("a").cast(pl.Categorical), c=pl.col("a").cast(pl.Enum(["=1"])))
    write_csv(frame, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text(encoding="utf-8").splitlines()[1] == "'=1,'=1,'=1"


@given(st.lists(st.text(), min_size=1, max_size=5))
def test_column_and_cell_agree_and_nothing_gets_through(texts: list[str]) -> None:
    column = pl.DataFrame({"t": texts}).select(safe_text("t"))["t"].to_list()
    assert column == [safe_cell(text) for text in texts]
    assert not any(cell.lstrip().startswith(FORMULA_STARTS) for cell in column)


def test_nested_columns_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"columns \['reasons'\] have no single value"):
        write_csv(pl.DataFrame({"reasons": [["a"]]}), tmp_path / "out.csv")
