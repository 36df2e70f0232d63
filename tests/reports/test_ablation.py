"""What an ablation's interval allows to be said, and that it is said."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.ablation import SCHEMA, VariantScores, ablation_svg, ablation_table, worth
from reports.intervals import bootstrap_ratio


def variant(reference: list[float], ndcg: list[float], seeds: int = 1, **changes: object) -> VariantScores:
    n = len(reference) // seeds
    scores = pl.DataFrame(
        {
            "seed": np.repeat(np.arange(seeds), n),
            "customer": np.tile(np.arange(n, dtype=np.int32), seeds),
            "reference": reference,
            "ndcg": ndcg,
        }
    )
    return VariantScores("attention_cf", "no_attention", "attention", "Mean pooling.", scores, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("low", "high", "n", "said"),
    [
        (0.06, 0.20, 100, "helps"),
        (0.01, 0.20, 100, "helps_perhaps"),
        (0.01, 0.04, 100, "helps_little"),
        (-0.01, 0.20, 100, "not_shown"),
        (-0.01, 0.04, 100, "does_not_help"),
        (-0.10, -0.01, 100, "hurts"),
        (0.06, 0.20, 19, "too_few"),
    ],
)
def test_the_verdict_follows_from_the_interval(low: float, high: float, n: int, said: str) -> None:
    assert worth(low, high, n) == said


@given(st.floats(-1, 1), st.floats(0, 1), st.integers(20, 10_000))
def test_a_part_genuinely_helps_only_where_the_whole_interval_is_above_five_percent(low: float, width: float, n: int) -> None:
    assert (worth(low, low + width, n) == "helps") == (low > 0.05)


def test_a_literal_drop() -> None:
    row = ablation_table([variant([0.5] * 40 + [1.0] * 40, [0.4] * 40 + [0.8] * 40)]).row(0, named=True)
    assert row["n_customers"] == 80
    assert row["reference_ndcg"] == pytest.approx(0.75)
    assert row["ndcg"] == pytest.approx(0.6)
    # Every customer loses a fifth, so every resample does.
    assert (row["drop"], row["drop_low"], row["drop_high"]) == pytest.approx((0.2, 0.2, 0.2))
    assert row["verdict"] == "helps"
    assert row["said"].startswith("Attention genuinely helps. Without it NDCG@10 falls by 20.0 %")
    assert row["seed_low"] is None


def test_noise_around_nothing_is_not_called_a_help() -> None:
    draw = np.random.default_rng(0)
    reference = draw.random(400)
    row = ablation_table([variant(reference.tolist(), (reference + draw.normal(0, 0.5, 400)).tolist())]).row(0, named=True)
    assert row["drop_low"] < 0 < row["drop_high"]
    assert row["verdict"] == "not_shown"
    assert "not shown to help" in row["said"]


def test_seeds_are_averaged_within_a_customer_and_their_spread_is_told() -> None:
    reference, ndcg = [0.5] * 30 + [0.5] * 30, [0.5] * 30 + [0.4] * 30
    row = ablation_table([variant(reference, ndcg, seeds=2)]).row(0, named=True)
    assert (row["n_customers"], row["seeds"]) == (30, 2)
    assert row["drop"] == pytest.approx(0.1)
    assert (row["seed_low"], row["seed_high"]) == pytest.approx((0.0, 0.2))


def test_a_variant_that_could_not_be_measured_says_why() -> None:
    about = ("ease", "no_attention", "attention", "Mean pooling.")
    table = ablation_table(
        [
            VariantScores(*about, None, "not_applicable", "the model has no attention"),
            VariantScores(*about, None, "did_not_train", "the loss became nan"),
        ]
    )
    assert table.schema == pl.Schema(SCHEMA)
    assert table["applies"].to_list() == [False, True]
    assert table["said"].to_list() == [
        "Not applicable: the model has no attention.",
        "The model could not be trained without it: the loss became nan.",
    ]
    assert table["drop"].null_count() == 2
    assert ablation_svg(table) == ""


def test_the_picture_shows_every_measured_variant_with_its_interval() -> None:
    draw = np.random.default_rng(0)
    reference = draw.random(100)
    table = ablation_table([variant(reference.tolist(), (reference * 0.9).tolist())])
    svg = ablation_svg(table)
    assert svg.count("<circle") == table.height
    assert 'role="img"' in svg
    hostile = ablation_svg(table.with_columns(variant=pl.lit("<script>x</script>")))
    assert "<script>" not in hostile
    assert "&lt;script&gt;" in hostile


def test_the_interval_of_a_ratio_is_that_of_plain_resampling() -> None:
    draw = np.random.default_rng(1)
    below = draw.choice([0.0, 0.5, 1.0], 300)
    above = below * draw.choice([0.0, 0.2], 300)
    ratio, low, high = bootstrap_ratio(above, below, resamples=2000, seed=0)
    chosen = draw.integers(0, 300, (2000, 300))
    plain = np.quantile(above[chosen].mean(1) / below[chosen].mean(1), [0.025, 0.975])
    assert ratio == pytest.approx(above.mean() / below.mean())
    assert (low, high) == pytest.approx(tuple(plain), abs=0.005)
    assert bootstrap_ratio(np.zeros(3), np.zeros(3)) == (None, None, None)
    assert bootstrap_ratio(np.array([0.1]), np.array([0.5]))[1] is None
    with pytest.raises(ValueError, match="pairs"):
        bootstrap_ratio(np.zeros(2), np.zeros(3))
