"""The dial by hand: what it lists, in what order, and where it spends preference first."""

from __future__ import annotations

import math

import numpy as np
import pytest

from flows.dial import chosen_by_dial, worth


def test_the_dial_decides_what_is_listed_and_preference_the_order() -> None:
    scores = np.arange(12.0)[None] / 3  # 11 is liked best
    profit = np.zeros(12)
    profit[0] = 1.0
    allowed = np.ones((1, 12), bool)
    assert chosen_by_dial(scores, profit, allowed, 0.0).tolist() == [[11, 10, 9, 8, 7, 6, 5, 4, 3, 2]]
    assert chosen_by_dial(scores, profit, allowed, 0.5).tolist() == [[11, 10, 9, 8, 7, 6, 5, 4, 3, 0]]
    allowed[0, 0] = False
    assert chosen_by_dial(scores, profit, allowed, 0.5).tolist() == [[11, 10, 9, 8, 7, 6, 5, 4, 3, 2]]


def test_a_purchase_counts_by_the_place_it_would_have() -> None:
    scores = np.log(np.array([[0.1, 0.4, 0.3, 0.2]]))
    allowed = np.array([[True, True, True, False]])
    found = worth(scores, np.array([0.0, 0.0, 0.01, 0.0]), allowed, 0.5, k=2)
    # Of the allowed: 0.4, 0.3, 0.1 of 0.8, at places 1, 2 and beyond the list (counted as 2).
    second = 1 / math.log2(3)
    assert found.tolist() == [pytest.approx([0.5 * 0.125 * second, 0.5 * 0.5, 0.5 * 0.375 * second + 0.005, 0.0])]


def test_profit_is_bought_where_it_costs_least() -> None:
    scores = np.log(np.array([[0.5, 0.2, 0.15, 0.15]]))
    allowed = np.ones((1, 4), bool)
    # Twice the same gain, for the same probability: only the second place gives way.
    assert chosen_by_dial(scores, np.array([0.0, 0.0, 0.0, 0.06]), allowed, 0.5, k=2).tolist() == [[0, 3]]
    assert chosen_by_dial(scores, np.array([0.0, 0.0, 0.0, 0.02]), allowed, 0.5, k=2).tolist() == [[0, 1]]
    assert chosen_by_dial(scores, np.array([-1.0, 0.0, 0.0, 0.0]), allowed, 0.5, k=2).tolist() == [[1, 2]]


def test_nobody_allowed_is_an_empty_list() -> None:
    assert chosen_by_dial(np.zeros((1, 3)), np.ones(3), np.zeros((1, 3), bool), 0.5, k=2).tolist() == [[-1, -1]]
