"""What the consistency of attention allows to be said, and that the page says it."""

from __future__ import annotations

from pathlib import Path

import pytest

from reports.consistency import reading, rows, sentence
from reports.evidence import ConsistencyEvidence
from reports.evidence_pack import write_evidence
from tests.reports.example import evidence, likeness


@pytest.mark.parametrize(
    ("q", "holdings_q", "n", "said"),
    [
        (0.001, 0.01, 60, "alike, beyond what holdings alone give"),
        (0.001, 0.30, 60, "alike only as far as holdings are"),
        (0.300, 0.01, 60, "not shown to be alike"),
        (0.001, 0.01, 19, "too few customers to say"),
    ],
)
def test_the_reading_follows_from_both_nulls(q: float, holdings_q: float, n: int, said: str) -> None:
    assert reading({"q": q, "holdings_q": holdings_q, "holdings_effect": 0.1, "n": n}) == said


def test_the_sentence_claims_no_more_than_holdings_bring_about() -> None:
    assert "yes, but no more than their like holdings alone would bring about" in sentence(likeness())
    assert "yes, also when holdings are taken into account" in sentence(likeness(holdings_q=0.01, holdings_effect=0.01))
    assert "by asset: not" in sentence(likeness(q=0.4))
    assert [row["name"] for row in rows(likeness())] == ["Asset", "Asset"]


def test_the_page_shows_observed_nulls_and_yardsticks(tmp_path: Path) -> None:
    text = write_evidence(tmp_path, evidence()).read_text(encoding="utf-8")
    for figure in ("0.610", "0.830", "+0.220", "0.580", "0.0500", "alike only as far as holdings are"):
        assert figure in text, figure
    assert "Measured on 60 of 80 customers." in text
    hostile = ConsistencyEvidence(likeness(segment="<script>alert(1)</script>"), "x")
    text = write_evidence(tmp_path, evidence(consistency=hostile)).read_text(encoding="utf-8")
    assert "<script>" not in text


def test_the_page_shows_what_each_part_is_worth_and_what_was_not_measured(tmp_path: Path) -> None:
    text = write_evidence(tmp_path, evidence()).read_text(encoding="utf-8")
    assert "Weighing by attention genuinely helps. Without it NDCG@10 falls by 10.0 %" in text
    assert "Not applicable: it is off." in text
    assert "learnt from 60 customers for 3 epochs" in text
    assert 'id="ablation-title"' in text
