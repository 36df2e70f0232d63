"""What the pictures are drawn from: attention weights, regime spells, training curves, and how text is written."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from reports import text
from reports.attention import heatmap_svg, mean_weights
from reports.attention_shades import ink, luminance, rgb
from reports.evidence import TrainingEvidence
from reports.pages import script_data
from reports.regimes import regime_svg, spells
from reports.training import fit_facts, thinned, validation_curve, write_training_page


def test_weights_are_averaged_over_candidates_and_sum_to_one() -> None:
    table = pl.DataFrame(
        [("u", "x", "A", 0.6), ("u", "x", "B", 0.4), ("u", "y", "A", 0.2), ("u", "y", "C", 0.8), ("a", "x", "A", 1.0)],
        schema=["customer", "candidate", "holding", "weight"],
        orient="row",
    )
    found = mean_weights(table)
    assert found["customer"].to_list() == ["u", "u", "u", "a"]  # order of first appearance
    assert found["holding"].to_list() == ["A", "C", "B", "A"] or found["holding"].to_list() == ["C", "A", "B", "A"]
    assert dict(found.filter(pl.col("customer") == "u").select("holding", "weight").iter_rows()) == pytest.approx(
        {"A": 0.4, "B": 0.2, "C": 0.4}
    )
    assert found["place"].to_list() == [1, 2, 3, 1]
    assert found["n_holdings"].to_list() == [3, 3, 3, 1]


@pytest.mark.parametrize("weight", [-0.1, float("nan"), None])
def test_weights_that_are_none_are_refused(weight: float | None) -> None:
    table = pl.DataFrame({"customer": ["u"], "holding": ["A"], "weight": [weight]}, schema_overrides={"weight": pl.Float64})
    with pytest.raises(ValueError, match="1 attention weights are null, not finite or negative"):
        mean_weights(table)


def test_heatmap_shows_the_rest_as_one_cell() -> None:
    holdings = [f"Holding {n}" for n in range(9)]
    table = pl.DataFrame({"customer": ["u"] * 9, "holding": holdings, "weight": [0.2] + [0.1] * 8})
    picture = heatmap_svg(table, places=5)
    assert picture.count("<rect") == 6
    assert "4 more" in picture
    assert "u, 4 more: 40.0 %" in picture
    assert heatmap_svg(table.clear()).count("<rect") == 0


def test_ink_is_readable_on_every_shade() -> None:
    for step in range(101):
        ground, over = luminance(rgb(step / 100)), 1.0 if ink(step / 100) == "#ffffff" else 0.0
        contrast = (max(ground, over) + 0.05) / (min(ground, over) + 0.05)
        assert contrast >= 4.5, step


def days(*numbers: int) -> list[date]:
    return [date(2024, 6, number) for number in numbers]


def test_spells_measure_from_the_level_before() -> None:
    series = pl.DataFrame(
        {
            "date": days(7, 3, 4, 5, 6),
            "regime": ["bull", "bull", "bull", "bear", "bear"],
            "level": [120.0, 100.0, 110.0, 99.0, 88.0],
        }
    )
    found = spells(series)
    assert found["regime"].to_list() == ["bull", "bear", "bull"]
    assert found["first"].to_list() == days(3, 5, 7)
    assert found["last"].to_list() == days(4, 6, 7)
    assert found["days"].to_list() == [2, 2, 1]
    assert found["change"].to_list() == pytest.approx([0.10, -0.20, 120 / 88 - 1])


def test_regime_picture_shades_bull_and_bear_only() -> None:
    series = pl.DataFrame({"date": days(3, 4, 5), "regime": ["bull", "neutral", "bear"], "level": [1.0, 2.0, 1.5]})
    assert regime_svg(series).count("<rect") == 2
    assert regime_svg(series.head(1)) == ""
    assert "polyline" in regime_svg(series.with_columns(level=pl.lit(1.0)))


def curve(steps: int) -> pl.DataFrame:
    step = pl.int_range(steps, eager=True)
    return pl.DataFrame({"step": step, "epoch": step // 10, "learning_rate": step * 0.001, "loss": 5.0 - step * 0.01})


def test_long_curves_are_thinned_and_keep_their_ends() -> None:
    short = thinned(curve(5001), points=100)
    assert short.height <= 101
    assert (short["step"][0], short["step"][-1]) == (0, 5000)
    assert thinned(curve(50), points=100).height == 50


def test_fit_in_numbers() -> None:
    facts = fit_facts(TrainingEvidence("m", curve(20)))
    assert (facts["steps"], facts["epochs"], facts["peak_rate"]) == (20, 2, pytest.approx(0.019))
    assert (facts["first_loss"], facts["last_loss"]) == (pytest.approx(4.955), pytest.approx(4.855))
    assert fit_facts(TrainingEvidence("m", curve(0)))["last_loss"] is None


def test_a_fit_that_chose_its_epochs_says_so(tmp_path: Path) -> None:
    asked = [None] * 9 + [0.1] + [None] * 9 + [0.3] + [None] * 9 + [0.2]
    tried = curve(30).with_columns(fit=pl.lit("validating"), validation=pl.Series(asked))
    kept = curve(20).with_columns(fit=pl.lit("final"), validation=pl.lit(None, pl.Float64))
    facts = fit_facts(TrainingEvidence("m", pl.concat([tried, kept])))
    assert (facts["steps"], facts["epochs"]) == (20, 2)
    assert (facts["validated"], facts["best_epoch"], facts["best_validation"]) == (3, 2, 0.3)
    assert fit_facts(TrainingEvidence("m", kept))["validated"] == 0
    assert validation_curve(tried)["validation"].to_list() == [0.1, 0.3, 0.2]
    drawn = write_training_page([TrainingEvidence("m", pl.concat([tried, kept]))], tmp_path / "one.html").read_text()
    assert "Validation: NDCG@10" in drawn
    assert "was best after epoch 2 of 3" in drawn
    plain = write_training_page([TrainingEvidence("m", kept)], tmp_path / "two.html").read_text()
    assert "Learning rate" in plain
    assert "Validation: NDCG@10" not in plain


def test_script_data_cannot_leave_its_script() -> None:
    assert script_data({"a": "</script>&\u2028"}) == '{"a": "\\u003c/script\\u003e\\u0026\\u2028"}'


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (text.percent(0.00001), "< 0.1 %"),
        (text.percent(0.0), "0.0 %"),
        (text.percent(None), "–"),
        (text.count(12345), "12,345"),
        (text.count(None), "–"),
        (text.signed(-0.5, 1), "−0.5"),
        (text.signed(None), "–"),
        (text.decimal(float("nan")), "–"),
        (text.size(1023), "1023 B"),
        (text.size(1536), "1.5 KiB"),
        (text.size(5 * 1024**4), "5120.0 GiB"),
        (text.size(None), "–"),
        (text.duration(0.05), "50 ms"),
        (text.duration(99.94), "99.9 s"),
        (text.duration(119.7), "2 min 00 s"),
        (text.name(None), "–"),
        (text.name("B" * 200), "B" * 89 + "…"),
        (text.plain("a\u202eb\tc"), "a[·]b\tc"),
    ],
)
def test_how_values_are_written(found: str, expected: str) -> None:
    assert found == expected
