"""The mapping names only what there is, and says of everything what remains the firm's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from reports.mapping import MAPPING, named, write_mapping
from tests.reports.test_evidence_pack import Page


def test_every_expectation_says_what_remains() -> None:
    expectations = [expectation for source in MAPPING for expectation in source.expectations]
    assert len(expectations) > 20
    for expectation in expectations:
        for text in (expectation.where, expectation.asks, expectation.produces, expectation.remains):
            assert text
            assert text.count("`") % 2 == 0, text


@pytest.mark.parametrize("article", ["54", "72", "12(1)", "10: ", "12: ", "17: ", "Validation", "Governance"])
def test_what_was_asked_for_is_there(article: str) -> None:
    places = [expectation.where for source in MAPPING for expectation in source.expectations]
    assert any(place.startswith(article) for place in places)


def test_nothing_claims_compliance() -> None:
    text = " ".join(
        f"{source.note} {expectation.produces} {expectation.remains}" for source in MAPPING for expectation in source.expectations
    )
    assert not re.search(r"\b(complian|complies|comply|fulfils?|satisf|guarantee|ensures)", text, re.IGNORECASE)


def test_the_page_holds_every_row(tmp_path: Path) -> None:
    page = Page(write_mapping(tmp_path))
    assert page.tables == page.captions == len(MAPPING)
    assert page.unscoped == 0
    assert page.scripts == 0
    for piece in named(""):
        assert f'<span class="code">{piece}</span>' in page.text, piece
