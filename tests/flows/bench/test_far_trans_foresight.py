"""How a view is measured against the returns to come, and how the dial's setting is chosen beforehand."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest

from flows.bench.far_trans_data import Split
from flows.bench.far_trans_foresight import DIALS, SKILLS, blurred, earned_at, foresight, information_coefficient
from flows.bench.far_trans_report import within_budget

DAY = dt.date(2020, 1, 1)


def test_the_rank_correlation_counts_assets_with_a_view_and_a_return() -> None:
    returns = np.array([*range(12), np.nan]) / 100
    assert information_coefficient(np.arange(13.0) + 1, returns) == pytest.approx(1.0)
    assert information_coefficient(-np.arange(13.0) - 1, returns) == pytest.approx(-1.0)
    few = np.where(np.arange(13) < 9, 1.0 + np.arange(13), 0.0)
    assert information_coefficient(few, returns) is None
    assert information_coefficient(np.ones(13), returns) is None


def test_blurring_keeps_the_spread_and_takes_the_skill() -> None:
    returns = np.random.default_rng(1).normal(0.01, 0.05, 20_001)
    returns[-1] = np.nan
    for skill in (1.0, 0.3):
        view = blurred(returns, skill, np.random.default_rng(2))
        assert np.corrcoef(view[:-1], returns[:-1])[0, 1] == pytest.approx(skill, abs=0.02)
        assert view[:-1].std() == pytest.approx(0.05, rel=0.03)
        assert view[-1] == view[:-1].min()


def test_more_foresight_earns_more() -> None:
    assets = [f"A{number:02}" for number in range(40)]
    returns = dict(zip(assets, np.linspace(-0.1, 0.1, 40).tolist(), strict=True))
    relevant = pl.DataFrame({"customerID": ["c"], "ISIN": ["A00"]})
    split = Split("evaluation", 3, DAY, DAY, ("c",), tuple(assets), relevant, returns, pl.DataFrame())
    scores = -np.arange(40.0, dtype=np.float32)[None] / 4
    found = foresight(scores, np.ones((1, 40), bool), assets, split, seed=0)
    assert found.height == len(SKILLS) * len(DIALS)
    assert found.filter(pl.col("dial") == 0)["ndcg"].unique().to_list() == [1.0]
    whole = found.filter((pl.col("skill") == 1) & (pl.col("dial") == DIALS[-1]))
    assert whole["roi"][0] > found.filter((pl.col("skill") == SKILLS[-1]) & (pl.col("dial") == DIALS[-1]))["roi"][0]
    assert whole["ic"][0] == pytest.approx(1.0)
    nothing = Split("evaluation", 3, DAY, DAY, ("c",), tuple(assets), relevant, {}, pl.DataFrame())
    assert foresight(scores, np.ones((1, 40), bool), assets, nothing, seed=0).height == 0


def test_profit_is_read_off_the_front_and_not_beyond_it() -> None:
    points = pl.DataFrame({"ndcg": [0.4, 0.3, 0.2], "roi": [-0.01, 0.01, 0.02]})
    assert earned_at(points, 0.35) == pytest.approx(0.0)
    assert earned_at(points, 0.41) is None
    assert earned_at(points.clear(), 0.3) is None


def test_the_dial_is_set_at_the_highest_that_stays_within_the_budget() -> None:
    points = pl.DataFrame({"dial": [0.0, 0.5, 0.2, 0.7, 1.0], "kept": [1.0, 0.925, 1.01, 0.91, 0.95]})
    assert within_budget(points) == 0.5
    assert within_budget(points.with_columns(kept=pl.lit(1.0))) == 1.0
