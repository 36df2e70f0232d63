"""The front's page: every setting is on it, labels do not lie over each other, nothing is fetched."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl

from reports.profit_front import _labels, write_profit_front

POINTS = pl.DataFrame(
    {
        "dial": [0.0, 0.1, 0.5, 1.0],
        "ndcg": [0.41, 0.409, 0.38, 0.02],
        "roi": [-0.01, -0.0099, 0.0, 0.01],
        "known": [1.0] * 4,
        "chosen": [False, False, True, False],
    }
)
PUBLISHED = pl.DataFrame({"model": ["LightGCN"], "ndcg": [0.3788], "roi": [-0.0084]})


def test_a_point_beside_a_named_one_has_no_label() -> None:
    assert _labels(POINTS) == ["0", "", "0.5", "1"]


def test_the_page_stands_alone(tmp_path: Path) -> None:
    text = write_profit_front(POINTS, PUBLISHED, tmp_path / "front.html").read_text(encoding="utf-8")
    assert "LightGCN" in text
    assert "chosen on the validation splits" in text
    assert '"x":[0.38],"y":[0.0]' in text
    assert re.search(r"<script[^>]+src=", text) is None
