"""Bootstrap intervals of a mean."""

from __future__ import annotations

import numpy as np
import pytest

from reports.intervals import bootstrap_mean


def test_agrees_with_the_plain_bootstrap() -> None:
    values = np.random.default_rng(0).choice([0.0, 0.3, 0.63, 1.0], 400, p=[0.6, 0.2, 0.1, 0.1])
    mean, low, high = bootstrap_mean(values, resamples=4000)
    rng = np.random.default_rng(9)
    plain = values[rng.integers(0, 400, (4000, 400))].mean(axis=1)
    assert mean == pytest.approx(values.mean())
    assert (low, high) == pytest.approx(np.quantile(plain, [0.025, 0.975]), abs=0.005)


def test_covers_the_true_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    inside = 0
    for trial in range(300):
        _, low, high = bootstrap_mean(rng.binomial(1, 0.3, 200).astype(float), resamples=400, seed=trial)
        assert low is not None
        assert high is not None
        inside += low <= 0.3 <= high
    assert 0.90 <= inside / 300 <= 0.985


def test_same_seed_same_interval_in_any_order() -> None:
    values = np.random.default_rng(1).random(50)
    assert bootstrap_mean(values, seed=4) == bootstrap_mean(values[::-1].copy(), seed=4)
    assert bootstrap_mean(values, seed=4) != bootstrap_mean(values, seed=5)


def test_too_few_values_have_no_interval() -> None:
    assert bootstrap_mean(np.array([])) == (None, None, None)
    assert bootstrap_mean(np.array([0.5])) == (0.5, None, None)
    with pytest.raises(ValueError, match="finite"):
        bootstrap_mean(np.array([0.5, np.nan]))
