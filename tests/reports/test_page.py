"""The index as a person meets it: verdict first, plain words, readable colours, small however large the run."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from reports.changes import BINS, Changes, list_bins
from reports.evidence import Absent, AttentionEvidence, Check, FileFact, Verdict
from reports.evidence_pack import MOST_CUSTOMERS, write_evidence
from reports.text import prose
from tests.reports.example import evidence, lines, register
from tests.reports.test_evidence_pack import HOSTILE, Page, assert_sound, index_of

STYLE = (Path(__file__).parents[2] / "reports" / "templates" / "style.css").read_text(encoding="utf-8")


def test_the_order_is_the_readers(tmp_path: Path) -> None:
    text = index_of(tmp_path, evidence())
    order = [
        *("verdict", "changes", "decisions", "checks", "run", "contracts", "ranking", "attention", "recommendations"),
        *("exclusions", "drift", "register", "files", "words"),
    ]
    places = [text.index(f'<h2 id="{name}"') for name in order]
    assert places == sorted(places)
    # The contents name every section, in the same order as the page.
    contents = re.findall(r'<a href="#(\w+)">', text[text.index("<nav") : text.index("</nav>")])
    assert contents == re.findall(r'<h2 id="(\w+)"', text)


def test_what_needs_attention_stands_first_and_the_rest_does_not(tmp_path: Path) -> None:
    text = index_of(tmp_path, evidence())
    attend = text[text.index('<h2 id="decisions"') : text.index('<h2 id="checks"')]
    assert "Ask the supplier." in attend
    assert "Nobody looked." in attend
    assert attend.index("Ask the supplier.") < attend.index("Nobody looked.")
    for other in ("first night", "0.2 against 0.1"):
        assert other not in attend
        assert other in text[text.index('<h2 id="checks"') :]


def test_areas_show_their_worst_check(tmp_path: Path) -> None:
    text = index_of(tmp_path, evidence())
    areas = re.findall(r'<li class="(\w+)"><span class="area">(\w+)</span>.*?<span class="note">(.*?)</span>', text, re.DOTALL)
    assert areas == [
        ("warn", "Data", "1 check does not hold"),
        ("pass", "Model", "1 check holds"),
        ("warn", "Suitability", "1 check does not hold"),
        ("none", "Stability", "nothing to check tonight"),
    ]


@pytest.mark.parametrize(
    ("outcome", "publish", "in_force", "said"),
    [
        ("pass", "now", "run-0", ["✓ Published: every check holds", "Nothing: every check holds"]),
        ("warn", "now", "run-0", ["! Published with warnings"]),
        ("warn", "after_approval", "run-0", ["? Waits for a person", "nightfolio approve run-1", "Until then", "run-0"]),
        ("pass", "after_approval", "", ["? Waits for a person", "nothing was published before"]),
        ("block", "never", "run-0", ["✕ Blocked: not published", "stay in force", "run-0", "cannot be approved"]),
        ("block", "never", "", ["✕ Blocked: not published", "nothing was published before"]),
    ],
)
def test_the_banner_says_what_is_in_force(outcome: str, publish: str, in_force: str, said: list[str], tmp_path: Path) -> None:
    check = Check("Accuracy", outcome, "found", "must", "Act.", area="model", means="It is worse.")  # type: ignore[arg-type]
    verdict = Verdict(outcome, "79 of 80 customers.", (check,), publish, in_force)  # type: ignore[arg-type]
    text = index_of(tmp_path, evidence(verdict=verdict))
    assert_sound(tmp_path)
    for words in said:
        assert words in text, words
    assert ("nightfolio approve" in text) == (publish == "after_approval")
    assert ("It is worse." in text) == (outcome != "pass")


def test_changes_show_then_and_now(tmp_path: Path) -> None:
    text = index_of(tmp_path, evidence())
    part = text[text.index('<h2 id="changes"') : text.index('<h2 id="decisions"')]
    assert ">780<" in part
    assert "<strong>790</strong>" in part
    assert part.count("the same") == 1
    assert "train.epochs" in part
    assert "2 (50%)" in part, "two of four lists did not change"
    full = evidence().changes
    assert isinstance(full, Changes)
    nobody = replace(full, distances=np.array([]), settings=())
    text = index_of(tmp_path, evidence(changes=nobody))
    assert "No customer was given recommendations both then and now." in text
    assert "No setting changed." in text


def test_lists_are_binned_by_how_much_changed() -> None:
    found = list_bins(np.array([0.0, 0.01, 0.25, 0.26, 0.5, 0.75, 0.76, 0.99, 1.0]))
    assert found == list(zip(BINS, (1, 2, 2, 1, 2, 1), strict=True))


def test_the_card_says_what_fails(tmp_path: Path) -> None:
    write_evidence(tmp_path, evidence())
    text = (tmp_path / "model_card.html").read_text(encoding="utf-8")
    for said in (
        "What it is not for",
        "It places no orders.",
        "Fails for income customers.",
        "Nobody was asked.",
        "80 customers, 80",
    ):
        assert said in text, said
    text = index_of(tmp_path, evidence(ranking=Absent("none")))
    assert "No segment was measured." in (tmp_path / "model_card.html").read_text(encoding="utf-8")
    assert_sound(tmp_path)


def test_code_in_sentences_is_set_as_code_and_escaped() -> None:
    assert prose("run `nightfolio train <x>` & see") == 'run <span class="code">nightfolio train &lt;x&gt;</span> &amp; see'
    assert prose("an odd ` tick") == "an odd ` tick"


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:12].encode("ascii", "replace").decode())
def test_hostile_words_stay_text_in_every_new_section(text: str, tmp_path: Path) -> None:
    full = evidence()
    assert isinstance(full.changes, Changes)
    assert not isinstance(full.card, Absent)
    change = replace(full.changes.counts[0], label=text, before=text, now=text + "x", note=text)
    check = Check(text, "warn", text, text, text, text, "#ranking", area="model", means=text)
    bundle = evidence(
        verdict=Verdict("warn", text, (check,), "after_approval", text),
        changes=replace(full.changes, since=text, counts=(change,), settings=(change,)),
        card=replace(full.card, kind=text, what=text, says=text, limits=(text,), failures=(text,), lineage=((text, text),) * 2),
        register=register(kind=text, status=text, run=text, approval=text),
    )
    index = write_evidence(tmp_path, bundle)
    assert_sound(tmp_path)
    for path in (index, tmp_path / "model_card.html"):
        page = path.read_text(encoding="utf-8")
        if "<" in text:
            assert text not in page, path.name
        assert not re.search("[\u202a-\u202e\u2066-\u2069\u200e\u200f\x00\x1b]", page), path.name
        assert path.stat().st_size < 300_000


def test_29_000_customers_fit_in_5_mb(tmp_path: Path) -> None:
    """The limit is the page's own, whatever it is given: every table with a row a customer, every name at its longest."""
    n, long = 29_000, "W" * 10_000
    ids = pl.Series([f"c-{i:010x}" for i in range(n)])
    sample = pl.concat([lines(asset_name=long, reason=long).drop("customer")] * 2).join(
        pl.DataFrame({"customer": ids}), how="cross"
    )
    attention = pl.DataFrame({"customer": ids, "holding": [long] * n, "weight": [1.0] * n})
    full = evidence()
    assert isinstance(full.changes, Changes)
    index = write_evidence(
        tmp_path,
        evidence(
            recommendations=sample,
            attention=AttentionEvidence("better", attention.vstack(attention.with_columns(holding=pl.lit("other"), weight=0.5))),
            changes=replace(full.changes, distances=np.linspace(0, 1, n)),
            files=(FileFact("input", long, 1, "ab" * 32),) * n,
            register=pl.concat([register(kind=long)] * n),
        ),
    )
    for path in tmp_path.glob("*.html"):
        assert path.stat().st_size < 5_000_000, path.name
    assert index.stat().st_size < 500_000
    text = index.read_text(encoding="utf-8")
    assert f"The first {MOST_CUSTOMERS} of 29,000 customers given." in text
    assert "the first 200 of 29,000; manifest.json lists all" in text


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb. Source: WCAG 2.2, definition of relative luminance."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_every_pair_of_colours_can_be_read() -> None:
    """WCAG 2.2, 1.4.3: at least 4.5 to 1."""
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", STYLE))
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    pairs = [(ink, ground) for ink in ("ink", "soft", "accent") for ground in ("ground", "tint")]
    pairs += [(tone, ground) for tone in ("pass", "warn", "block") for ground in ("ground", f"{tone}-ground")]
    pairs += [("ink", f"{tone}-ground") for tone in ("pass", "warn", "block")]
    for ink, ground in pairs:
        assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)


def test_paper_gets_no_navigation_and_no_torn_rows(tmp_path: Path) -> None:
    paper = STYLE[STYLE.index("@media print") :]
    assert re.search(r"\.contents, \.skip, \.back \{ display: none; \}", paper)
    assert "break-inside: avoid" in paper
    text = index_of(tmp_path, evidence())
    assert "@media print" in text
    page = Page(tmp_path / "index.html")
    assert page.scripts == 0
    assert not page.sources
