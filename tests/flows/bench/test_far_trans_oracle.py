"""References that look ahead: what they know, by hand, and what they must not know."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import polars as pl
from rich.console import Console

from flows.bench.far_trans import BEST, Walk, _scores
from flows.bench.far_trans_data import FarTransBenchmark, Split
from flows.bench.far_trans_oracle import DEMAND, FOLDS, demand, demand_scores, raked, told_of_others, window_purchases
from flows.bench.far_trans_report import _print_oracles
from flows.dial import top_lists
from tests.flows.bench.test_far_trans import benchmark_folder, split


def test_demand_counts_a_customer_once() -> None:
    assert demand(split(), ["P", "Q", "R", "S"]).tolist() == [1.0, 0.5, 0.0, 0.5]  # a bought Q and S, b bought P


def test_raked_scores_expect_the_windows_purchases_and_keep_each_customers_taste() -> None:
    scores = np.array([[2.0, 0.0, 1.0], [0.0, 0.0, 3.0], [1.0, 5.0, 0.0]])
    allowed = np.array([[True, True, True], [True, True, False], [True, True, True]])
    wanted = np.array([0.5, 1.0, 1.5])
    found = raked(scores, allowed, wanted)
    chance = np.where(allowed, np.exp(found), 0.0)
    np.testing.assert_allclose((chance / chance.sum(1, keepdims=True)).sum(0), wanted, atol=1e-3)
    added = found - scores
    np.testing.assert_allclose(added, np.broadcast_to(added[0], added.shape), atol=1e-12)  # one number an asset, for all


def test_raked_bears_an_asset_nobody_buys_and_a_customer_with_nothing_left() -> None:
    found = raked(np.zeros((2, 3)), np.array([[True, True, True], [False] * 3]), np.array([1.0, 0.0, 0.0]))
    assert np.isfinite(found).all()
    assert found[0].argmax() == 0


def test_who_is_asked_never_told_the_model_what_he_buys(tmp_path: Path) -> None:
    benchmark = FarTransBenchmark(benchmark_folder(tmp_path / "data"))
    second = list(benchmark.splits("evaluation"))[1]
    asked: list[Split] = []
    parts: list[np.ndarray[tuple[int, int], np.dtype[np.float32]]] = []

    def remembered(histories: Path, told: Split, out: Path) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        asked.append(told)
        parts.append(_scores("ease", histories, told, out, 1, 0))
        return parts[-1]

    scores = told_of_others(benchmark, second, remembered, tmp_path / "told", 0)
    window = set(window_purchases(benchmark, second).iter_rows())
    assert len(window) == 40
    assert {day for _, _, day in window} == {dt.date(2020, 2, 16)}  # no day is known: the window's middle
    told = [set(later.training.iter_rows()) - set(second.training.iter_rows()) for later in asked]
    assert len(told) == FOLDS
    assert all(later.time_point == second.test_end + dt.timedelta(days=1) for later in asked)
    assert [len(pairs) for pairs in told] == [32] * FOLDS
    assert all(sum(pair in pairs for pairs in told) == FOLDS - 1 for pair in window)
    for number, name in enumerate(second.customers):
        (own,) = (part for part, pairs in enumerate(told) if name not in {customer for customer, _, _ in pairs})
        np.testing.assert_array_equal(scores[number], parts[own][number])


def test_the_demand_oracles_list_what_the_window_buys() -> None:
    scores, allowed = np.zeros((3, 4), np.float32), np.ones((3, 4), bool)
    ahead = demand_scores(scores, allowed, demand(split(), ["P", "Q", "R", "S"]))
    for known in ahead.values():  # a model that knows nothing adds nothing to the demand
        assert top_lists(known, allowed)[:, :4].tolist() == [[0, 1, 3, 2]] * 3


def test_oracles_are_printed_apart_from_the_contestants() -> None:
    rows = pl.DataFrame(
        {
            "model": [BEST, DEMAND],
            "split": [1, 1],
            "customer": ["c00", "c00"],
            "ndcg": [0.4, 0.5],
            "recall": [0.0, 0.0],
            "roi": pl.Series([None, None], dtype=pl.Float64),
            "known": [0.0, 0.0],
        }
    )
    with_oracle, without = Console(record=True, width=120), Console(record=True, width=120)
    _print_oracles(with_oracle, Walk(rows, *[pl.DataFrame()] * 4))
    _print_oracles(without, Walk(rows[:1], *[pl.DataFrame()] * 4))
    told = with_oracle.export_text()
    assert "no contestants" in told
    assert "1.250 times signal_attention" in told
    assert without.export_text() == ""
