"""What `explain` prints and draws of one customer is what his rows say."""

from __future__ import annotations

import io
import re
import shutil
from pathlib import Path

import polars as pl
import pytest
from rich.console import Console

from data_contracts.errors import ConfigError, RunNotFound
from flows.pseudonyms import pseudonyms
from flows.show_explanation import print_explanation
from reports.explanation_picture import Line, explanation_svg


def printed(run: Path, home: Path, customer: str, picture: Path | None = None) -> str:
    out = io.StringIO()
    print_explanation(Console(file=out, width=200, highlight=False), run, customer, home=home, picture=picture)
    return out.getvalue()


@pytest.fixture
def customer(run: Path) -> str:
    rows = pl.read_parquet(run / "recommendations.parquet").filter(pl.col("reason_weights").list.len() == 3)
    return str(rows["customer_id"][0])


def test_bars_and_sentences_are_those_of_the_rows(run: Path, home: Path, customer: str) -> None:
    text = printed(run, home, customer)
    rows = pl.read_parquet(run / "recommendations.parquet").filter(pl.col("customer_id") == customer).sort("rank")
    for row in rows.iter_rows(named=True):
        assert row["reason"] in text
        for weight in row["reason_weights"] or []:
            assert f"{'█' * max(round(weight * 40), 1)} {weight:.1%}" in text
    assert f"explanation: {rows['explanation'][0]}" in text
    assert "candidates removed" in text


def test_a_pseudonym_finds_the_customer_and_the_picture_does_not_betray_him(
    run: Path, home: Path, customer: str, tmp_path: Path
) -> None:
    name = pseudonyms(home, pl.Series([customer]))[customer]
    text = printed(run, home, name, tmp_path / "why.html")
    assert customer not in text
    drawn = (tmp_path / "why.html").read_text(encoding="utf-8")
    assert customer not in drawn
    assert name in drawn
    assert "<svg" in drawn
    assert not re.search(r"(?:src|href)=\"(?!#)", drawn)


def test_the_svg_stands_alone(run: Path, home: Path, customer: str, tmp_path: Path) -> None:
    printed(run, home, customer, tmp_path / "why.svg")
    drawn = (tmp_path / "why.svg").read_text(encoding="utf-8")
    assert drawn.startswith("<svg")
    rows = pl.read_parquet(run / "recommendations.parquet").filter(pl.col("customer_id") == customer)
    weights = rows["reason_weights"].explode().drop_nulls()
    assert drawn.count('rx="2" fill="#12406a"') >= len(weights)


def test_bars_are_as_long_as_their_weights_and_names_are_escaped() -> None:
    line = Line(1, "A & <B>", "Because of “<x>” (60 %).", [("<script>", 0.6), ("rest", 0.4)], [("its sector", 0.5)])
    drawn = str(explanation_svg("c-1", [line], "attention"))
    assert re.findall(r'width="([\d.]+)" height="13"', drawn) == ["228.0", "152.0", "190.0"]
    assert "<script>" not in drawn
    assert "1. A &amp; &lt;B&gt;" in drawn
    assert ">60.0 %<" in drawn


def test_another_kind_of_picture_and_an_unknown_customer_are_refused(
    run: Path, home: Path, customer: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"why\.png is neither"):
        printed(run, home, customer, tmp_path / "why.png")
    for unknown in ("nobody", "c-0000000000"):
        with pytest.raises(RunNotFound, match="knows no customer"):
            printed(run, home, unknown)


def test_a_retired_run_cannot_be_explained_and_says_so(run: Path, home: Path, customer: str, tmp_path: Path) -> None:
    retired = tmp_path / run.name
    shutil.copytree(run, retired)
    shutil.rmtree(retired / "histories")
    with pytest.raises(RunNotFound, match=r"the histories of run .* were retired"):
        printed(retired, home, customer)
