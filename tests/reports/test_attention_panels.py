"""Small multiples of attention: the same holding in the same place of every panel, statically and interactively."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from reports.attention import write_attention_page
from reports.attention_panels import panels, panels_figure, panels_svg
from reports.evidence import AttentionEvidence

HOSTILE = "<script>alert(1)</script>\u202e"


def detail(holding: str = "B") -> pl.DataFrame:
    rows = [
        ("c-1", "A", 1, "head 1", "as it is", 0.2), ("c-1", holding, 1, "head 1", "as it is", 0.8),
        ("c-1", "A", 1, "head 2", "as it is", 0.6), ("c-1", holding, 1, "head 2", "as it is", 0.4),
        ("c-1", "A", 1, "head 1", "bull", 1.0), ("c-1", "A", 1, "head 2", "bull", 0.5),
        ("c-1", holding, 1, "head 1", "bear", 0.9), ("c-1", holding, 1, "head 2", "bear", 0.7),
        ("c-2", "D", 1, "head 1", "as it is", 1.0), ("c-2", "D", 1, "head 2", "as it is", 1.0),
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=["customer", "holding", "layer", "head", "regime", "weight"], orient="row")


def test_panels_of_heads_by_hand() -> None:
    one, two = panels(detail(), "head", customers=5, places=5)
    assert (one.title, two.title) == ("Head 1", "Head 2")
    # B weighs most on average (0.6 to 0.4), so it stands first in every panel, in head 2 too where A weighs more.
    assert one.cells.rows() == [("c-1", "B", 1, 0.8), ("c-1", "A", 2, 0.2), ("c-2", "D", 1, 1.0)]
    assert two.cells.rows() == [("c-1", "B", 1, 0.4), ("c-1", "A", 2, 0.6), ("c-2", "D", 1, 1.0)]


def test_bull_beside_bear_is_the_mean_over_heads_and_what_was_not_held_is_empty() -> None:
    bull, bear = panels(detail(), "regime", customers=1, places=5)
    assert (bull.title, bear.title) == ("Bull market", "Bear market")
    assert bull.cells.rows() == [("c-1", "B", 1, None), ("c-1", "A", 2, 0.75)]
    assert bear.cells.rows() == [("c-1", "B", 1, pytest.approx(0.8)), ("c-1", "A", 2, None)]
    assert panels(detail().filter(pl.col("regime") == "as it is"), "regime", customers=1, places=5) == []


def test_layers_are_named_where_there_are_several_and_regimes_read_the_last() -> None:
    two = pl.concat([detail(), detail().with_columns(layer=pl.lit(2, pl.Int64), weight=pl.col("weight") / 2)])
    titles = [panel.title for panel in panels(two, "head", customers=5, places=5)]
    assert titles == ["Layer 1, head 1", "Layer 1, head 2", "Layer 2, head 1", "Layer 2, head 2"]
    assert panels(two, "regime", customers=1, places=5)[0].cells["weight"].to_list() == [None, 0.375]


def test_the_static_picture_says_every_cell_and_escapes_names() -> None:
    drawn = str(panels_svg(detail(HOSTILE), "regime", "Bull & bear"))
    assert drawn.startswith("<svg")
    assert '<title id="attention-regime">Bull &amp; bear</title>' in drawn
    assert "c-1, A, Bull market: 75.0 %" in drawn
    assert "Bull market: not held then" in drawn
    assert "<script>" not in drawn
    assert "\u202e" not in drawn
    assert str(panels_svg(detail().filter(pl.col("regime") == "as it is"), "regime", "x")) == ""


def test_the_interactive_page_holds_both_pictures(tmp_path: Path) -> None:
    table = pl.DataFrame({"customer": ["c-1", "c-1"], "holding": [HOSTILE, "A"], "weight": [0.7, 0.3]})
    told = AttentionEvidence("m", table, detail=detail(HOSTILE), regimes="As on two days.")
    text = write_attention_page(told, tmp_path / "attention.html").read_text(encoding="utf-8")
    assert 'id="attention-heads"' in text
    assert 'id="attention-regimes"' in text
    assert "As on two days." in text
    assert "<script>alert" not in text
    picture = panels_figure(detail(), "head")
    assert [list(trace.z[0][:2]) for trace in picture.data] == [[0.8, 0.2], [0.4, 0.6]]
    plain = write_attention_page(AttentionEvidence("m", table), tmp_path / "plain.html").read_text(encoding="utf-8")
    assert "By layer and head" not in plain
