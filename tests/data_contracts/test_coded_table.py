"""Texts as numbers: in the order of the texts, kept beside the table, and never those of another table."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from data_contracts import coded
from data_contracts.coded import look_up
from data_contracts.coded_table import NONE, CodedColumn, code_columns, codes_of, keep_codes, places, without


@given(st.lists(st.tuples(st.none() | st.text(max_size=2), st.none() | st.sampled_from("xyz")), max_size=20))
def test_codes_are_places_among_the_sorted_texts(rows: list[tuple[str | None, str | None]]) -> None:
    numbered = code_columns(pl.LazyFrame(rows, schema={"a": pl.String, "b": pl.String}, orient="row"), ("a", "b"))
    for at, name in enumerate("ab"):
        texts = sorted({row[at] for row in rows if row[at] is not None}, key=lambda text: str(text).encode())
        assert numbered[name].texts.to_list() == texts
        assert numbered[name].codes.tolist() == [int(NONE) if row[at] is None else texts.index(row[at]) for row in rows]


def test_codes_are_kept_with_the_table_they_are_of(tmp_path: Path) -> None:
    table = tmp_path / "snapshot" / "trades.parquet"
    table.parent.mkdir()
    landed = pl.DataFrame({"who": ["v", "u", None, "v"]})
    numbered = code_columns(landed.lazy(), ("who",))
    landed[[0, 2, 3]].write_parquet(table)
    keep_codes(table, without(numbered, np.array([1])))
    kept = codes_of(table, ("who",))["who"]
    assert (kept.texts.to_list(), kept.codes.tolist()) == (["u", "v"], [1, int(NONE), 1])
    assert kept.present.tolist() == [1]
    assert CodedColumn(kept.texts, np.array([int(NONE), 1, 0], np.uint32)).present.tolist() == [0, 1]
    pl.DataFrame({"who": ["w"]}).write_parquet(table)  # another table under the same name
    assert codes_of(table, ("who",))["who"].texts.to_list() == ["w"]


def test_places_among_other_texts() -> None:
    assert places(pl.Series(["c", "a", None, "b"]), pl.Series(["a", "c", "d"])).tolist() == [1, 0, int(NONE), int(NONE)]


def test_what_a_table_says_of_places_beyond_its_end_is_its_last_word() -> None:
    table, asked = np.array([5, 7, 9], np.int32), np.array([2, 0, 3, int(NONE), 1], np.uint32)
    with patch.object(coded, "AT_ONCE", 2):
        found = look_up(table, asked)
    assert (found.dtype, found.tolist()) == (np.dtype(np.int32), [9, 5, 9, 9, 7])
