"""The evidence pages: complete, offline, sound HTML, and not to be broken by anybody's names."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import polars as pl
import pytest

from reports.evidence import Absent, AttentionEvidence, Evidence, FileFact, TrainingEvidence, Verdict
from reports.evidence_pack import metric_name, standing, write_evidence
from reports.faithfulness import MethodVerdict
from reports.ranking import summarise
from tests.reports.example import SECTIONS, evidence, lines, proof, rule, verdict_of
from tests.reports.test_ranking import random_models

VOID = {"meta", "link", "br", "img", "input", "hr", "rect", "polyline"}


class Page(HTMLParser):
    """Reads a page strictly enough to say whether it is sound: tags closed in order, unique ids, named tables."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.text = path.read_text(encoding="utf-8")
        self.ids: list[str] = []
        self.links: list[str] = []
        self.sources: list[str] = []
        self.named: list[str] = []
        self.scripts = self.tables = self.captions = self.unscoped = 0
        self.headings: list[int] = []
        self._open: list[str] = []
        self.feed(self.text)
        assert not self._open, f"{path.name}: {self._open} left open"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        assert not any(name.startswith("on") for name in values), f"a handler in <{tag}>"
        if tag not in VOID:
            self._open.append(tag)
        self.ids += [values["id"]] if "id" in values else []
        self.links += [values["href"]] if "href" in values else []
        self.sources += [values["src"]] if "src" in values else []
        self.named += values.get("aria-labelledby", "").split()
        self.scripts += tag == "script"
        self.tables += tag == "table"
        self.captions += tag == "caption"
        self.unscoped += tag == "th" and "scope" not in values
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self._open.pop() == tag, f"</{tag}> closes something else"


def assert_sound(directory: Path) -> None:
    pages = {path.name: Page(path) for path in directory.glob("*.html")}
    for name, page in pages.items():
        assert len(page.ids) == len(set(page.ids)), f"{name}: an id twice"
        assert set(page.named) <= set(page.ids), name
        assert page.tables == page.captions, f"{name}: a table without a caption"
        assert page.unscoped == 0, name
        assert page.headings[0] == 1, name
        assert page.headings.count(1) == 1, name
        assert all(b - a <= 1 for a, b in zip(page.headings, page.headings[1:], strict=False)), name
        assert '<html lang="en">' in page.text
        assert "default-src 'none'" in page.text
        for link in page.links:
            target, _, anchor = link.partition("#")
            assert not re.match(r"\w+:|//", target), f"{name} links to {link}"
            if target:
                assert (directory / target).exists(), f"{name}: {link} leads nowhere"
            if anchor and (target or name) in pages:
                assert unquote(anchor) in pages[target or name].ids, f"{name}: {link} leads nowhere"
        for source in page.sources:
            assert (directory / source).exists(), f"{name} loads {source}"


def index_of(directory: Path, bundle: Evidence) -> str:
    return write_evidence(directory, bundle).read_text(encoding="utf-8")


def test_complete_pack_is_sound(tmp_path: Path) -> None:
    index = write_evidence(tmp_path / "run" / "evidence", evidence())
    assert_sound(index.parent)
    names = sorted(path.name for path in index.parent.iterdir())
    assert names == [
        "attention.html", "contracts.html", "index.html", "mapping.html", "metrics.html", "model_card.html",
        "plotly.min.js", "training.html",
    ]  # fmt: skip
    page = Page(index)
    assert page.scripts == 0
    assert page.text.index("Published: 79 of 80") < page.text.index('id="run"')
    for shown in ("12,345", "XS0000000009", "Because of Velmora (61 %).", "cd" * 32, "2.0 KiB", "75.0 s", "Must be"):
        assert shown in page.text, shown
    # What needs attention stands above what does not.
    assert page.text.index("Ask the supplier.") < page.text.index("0.2 against 0.1")


def test_index_says_which_protocol_a_number_has(tmp_path: Path) -> None:
    bundle = evidence()
    assert not isinstance(bundle.ranking, Absent)
    for name in ("index.html", "metrics.html"):
        index_of(tmp_path, bundle)
        text = (tmp_path / name).read_text(encoding="utf-8")
        how = bundle.ranking.protocol
        for stated in (how.split, how.candidates, how.relevant, how.population, "80 customers, 80 relevant pairs"):
            assert stated in text, (name, stated)
    served = bundle.ranking.summary.filter(pl.col("model") == "better").row(0, named=True)
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert f"{served['ndcg_at_10']:.4f}" in text
    assert f"+{served['ndcg_gain']:.4f}" in text
    assert "above popularity" in text


@pytest.mark.parametrize("section", SECTIONS)
def test_absent_section_says_why(section: str, tmp_path: Path) -> None:
    index = write_evidence(tmp_path, evidence(**{section: Absent(f"no {section} tonight <because>")}))
    assert f"no {section} tonight &lt;because&gt;" in index.read_text(encoding="utf-8")
    assert_sound(tmp_path)


def test_everything_absent_is_still_a_page(tmp_path: Path) -> None:
    bundle = evidence(**{section: Absent("nothing") for section in SECTIONS}, counts=(), verdict=Verdict("block", "Nothing."))
    text = index_of(tmp_path, bundle)
    assert_sound(tmp_path)
    assert text.count("Not in this run.") == len(SECTIONS)
    assert "No check stands behind this verdict." in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index.html", "mapping.html"]


def test_empty_tables_say_so(tmp_path: Path) -> None:
    full = evidence()
    frames = {name: getattr(full, name).clear() for name in ("reconciliation", "recommendations", "exclusions", "regimes")}
    text = index_of(tmp_path, evidence(**frames, contracts=(), drift=(), training=(), files=(), timings=()))
    assert_sound(tmp_path)
    for said in ("There is no rule.", "no customer was given a recommendation", "No table was checked."):
        assert said in text


HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</title></svg><svg onload=alert(1)>",
    "{{ 7 * 7 }}{% include 'x' %}",
    "abc\u202egpj.exe\u2066\u200f\x00\x1b[31m",
    "A" * 10_000,
    "' onmouseover='alert(1)",
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:12].encode("ascii", "replace").decode())
def test_hostile_names_stay_text(text: str, tmp_path: Path) -> None:
    hostile_lines = lines(customer=text, asset_id=text, asset_name=text, reason=text, profile=text)
    full = evidence()
    assert not isinstance(full.training, Absent)
    assert isinstance(full.exclusions, pl.DataFrame)
    attention = pl.DataFrame({"customer": [text, text], "holding": [text, "b"], "weight": [0.7, 0.3]})
    bundle = evidence(
        run=replace(full.run, run_id=text, source=text),
        recommendations=hostile_lines,
        attention=AttentionEvidence(text, attention, how=text),
        exclusions=full.exclusions.with_columns(reason=pl.lit(text)),
        files=(FileFact("input", text, 1, "ab", None),),
        contracts=(verdict_of("prices", rule("close", "warn", 1) | {"examples": [text], "remedy": text}),),
        training=(TrainingEvidence(text, full.training[0].curve),),
        config=((text, text),),
    )
    index = write_evidence(tmp_path, bundle)
    assert_sound(tmp_path)
    assert index.stat().st_size < 200_000
    for path in tmp_path.glob("*.html"):
        page = path.read_text(encoding="utf-8")
        if "<" in text:
            assert text not in page, path.name
        assert not re.search("[\u202a-\u202e\u2066-\u2069\u200e\u200f\x00\x1b]", page), path.name
    assert "49" not in re.findall(r"Run <span class=\"code\">(.*?)</span>", index.read_text(encoding="utf-8"))


def test_rows_that_do_not_add_up_are_shouted_about(tmp_path: Path) -> None:
    broken = verdict_of("prices", rule("type"), accepted=990)
    text = index_of(tmp_path, evidence(contracts=(broken,)))
    assert "rows do not add up" in text
    assert "These rows do not add up" in (tmp_path / "contracts.html").read_text(encoding="utf-8")
    assert "do not add up" not in index_of(tmp_path, evidence())


def test_contracts_page_tells_what_to_do(tmp_path: Path) -> None:
    write_evidence(tmp_path, evidence())
    text = (tmp_path / "contracts.html").read_text(encoding="utf-8")
    assert text.index("close_positive") < text.index(">type<"), "worst first"
    for shown in ("1,005 landed = 1,000 read + 5 withheld", "row 17: close -3.2", "Ask for a corrected file.", "2 rows"):
        assert shown in text


def test_faithfulness_that_fails_is_said_plainly(tmp_path: Path) -> None:
    failed = index_of(tmp_path, evidence(faithfulness=proof(better=False)))
    assert "attention, is <strong>not</strong> better than chance" in failed
    assert "not</strong> better than chance" not in index_of(tmp_path, evidence())


def test_an_explanation_that_took_attentions_place_says_so(tmp_path: Path) -> None:
    verdicts = (
        MethodVerdict("leave_one_out", 9, 1.0, 0.1, 0.9, 0.8, 1.0, 1.0, True),
        MethodVerdict("attention", 9, 0.1, 0.1, 0, -1, 1, 0.5, False),
    )
    text = index_of(tmp_path, evidence(faithfulness=proof(published="leave_one_out", verdicts=verdicts)))
    assert "the published explanation, leave-one-out importance, points at holdings that matter more than chance" in text
    assert "The model's own weights (attention) are not published as the reason." in text
    none = index_of(tmp_path, evidence(faithfulness=proof(published="leave_one_out", own=None, verdicts=verdicts[:1])))
    assert "The model gives no weight to single holdings" in none


def test_the_proof_in_numbers_and_what_was_planted(tmp_path: Path) -> None:
    text = index_of(tmp_path, evidence())
    assert "Kendall τ of 0.250 [+0.300, +0.500]" in text
    assert "Shuffled and even weights: not applicable: nothing to shuffle." in text
    assert text.count("+0.400<br>") == 4
    row = {"what": "purchase", "definition": "it drove the purchase", "method": "attention", "n_pairs": 40, "n_customers": 30}
    planted = pl.DataFrame([row | {"named": 0.75, "low": 0.7, "high": 0.8, "chance": 0.2, "recent": 0.5}])
    assert 'it drove the purchase</th><td>attention</td><td class="number">40</td><td class="number">75.0 %' in index_of(
        tmp_path, evidence(faithfulness=proof(planted=planted))
    )


def test_missing_columns_are_named_before_anything_is_written(tmp_path: Path) -> None:
    bundle = evidence(recommendations=lines().drop("reason"))
    with pytest.raises(ValueError, match=r"'recommendations' lacks the columns \['reason'\]"):
        write_evidence(tmp_path / "evidence", bundle)
    assert not (tmp_path / "evidence").exists()


def test_unknown_served_model_is_refused(tmp_path: Path) -> None:
    full = evidence()
    assert not isinstance(full.ranking, Absent)
    with pytest.raises(ValueError, match=r"'none' is not among \['better', 'popularity'\]"):
        write_evidence(tmp_path, evidence(ranking=replace(full.ranking, served_model="none")))


def test_same_evidence_same_bytes(tmp_path: Path) -> None:
    for run in ("one", "two"):
        write_evidence(tmp_path / run, evidence())
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_large_run_stays_light(tmp_path: Path) -> None:
    sample = pl.concat([lines(customer=f"c-{i}") for i in range(200)])
    index = write_evidence(tmp_path, evidence(recommendations=sample))
    assert index.stat().st_size < 1_000_000


def test_standing_in_words() -> None:
    def words(low: float | None, high: float | None, n: int = 20) -> str:
        row = {"n_customers": n, "ndcg_gain": 0.1, "ndcg_gain_low": low, "ndcg_gain_high": high}
        return standing(row, "popularity")

    assert words(0.01, 0.2) == "above popularity"
    assert words(-0.2, -0.01) == "below popularity"
    assert words(-0.1, 0.1) == "not distinguishable from popularity"
    assert words(0.0, 0.1) == "not distinguishable from popularity"
    assert words(0.01, 0.2, n=19) == "too few customers to say"
    assert words(None, None) == "not compared with popularity"


def test_a_model_that_does_not_beat_ease_says_so(tmp_path: Path) -> None:
    bundle = evidence()
    assert not isinstance(bundle.ranking, Absent)
    models = random_models()
    rivals = summarise({**models, "ease": models["better"]}, None, n_items=30)
    text = index_of(tmp_path, evidence(ranking=replace(bundle.ranking, summary=rivals, served_model="popularity")))
    assert "the linear rival" in text
    strong = summarise({**models, "ease": models["popularity"]}, None, n_items=30)
    assert "above EASE" in index_of(tmp_path, evidence(ranking=replace(bundle.ranking, summary=strong)))
    same = models["popularity"]
    weak = summarise({"popularity": same, "better": same, "ease": models["better"]}, None, n_items=30)
    assert "below EASE" in index_of(tmp_path, evidence(ranking=replace(bundle.ranking, summary=weak)))
    assert_sound(tmp_path)


def test_sufficiency_is_a_table_and_a_sentence(tmp_path: Path) -> None:
    text = index_of(tmp_path, evidence())
    assert "75.0 % of 4 customers have fewer than 50 (the minimum is 50 to 100)" in text
    assert "below the minimum" in text


def test_a_closed_form_model_has_no_curves_and_says_so(tmp_path: Path) -> None:
    full = evidence()
    assert not isinstance(full.training, Absent)
    index_of(tmp_path, evidence(training=(TrainingEvidence("ease", full.training[0].curve.clear()),)))
    assert_sound(tmp_path)
    assert "closed form: no steps" in (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "no curves" in (tmp_path / "training.html").read_text(encoding="utf-8")


def test_metric_names() -> None:
    assert [metric_name(c) for c in ("ndcg_at_10", "hit_at_5", "auc")] == ["NDCG@10", "Hit rate@5", "AUC"]
