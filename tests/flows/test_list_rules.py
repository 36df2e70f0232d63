"""The pass down a ranking, by hand and against the plainest way to write it."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flows.list_rules import ListRule, limited_lists


def test_the_third_of_a_sector_is_passed_over_and_named() -> None:
    worth = np.array([[9.0, 8, 7, 6, 5, 4], [1.0, 2, 3, 4, 5, 6]])
    allowed = np.array([[True] * 6, [True, True, True, True, True, False]])
    sector = ListRule("list_sector", np.array([0, 0, 0, 1, -1, 1]), 2)
    lists, (passed,) = limited_lists(worth, allowed, 4, [sector])
    assert lists.tolist() == [[0, 1, 3, 4], [4, 3, 2, 1]]
    assert passed.tolist() == [[False, False, True, False, False, False], [False] * 6]


def test_what_ranks_below_the_last_place_is_outranked_not_removed() -> None:
    lists, (passed,) = limited_lists(np.array([[3.0, 2, 1]]), np.ones((1, 3), bool), 1, [ListRule("r", np.array([0, 0, 0]), 1)])
    assert lists.tolist() == [[0]]
    assert not passed.any()


def test_a_short_list_names_everything_that_was_passed_over() -> None:
    rules = [ListRule("sector", np.array([0, 0, 0, 0]), 2), ListRule("issuer", np.array([0, 0, 1, 1]), 1)]
    lists, (by_sector, by_issuer) = limited_lists(np.array([[4.0, 3, 2, 1]]), np.ones((1, 4), bool), 4, rules)
    assert lists.tolist() == [[0, 2, -1, -1]]
    assert by_sector.tolist() == [[False, False, False, True]]  # when 1 was asked, one of the sector was listed
    assert by_issuer.tolist() == [[False, True, False, True]]


@given(st.data())
def test_equals_the_plain_loop(data: st.DataObject) -> None:
    n, n_items, k = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 8)), data.draw(st.integers(1, 6))
    draw = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    worth = draw.integers(0, 4, (n, n_items)).astype(float)
    allowed = draw.random((n, n_items)) < 0.8
    rules = [ListRule(str(rule), draw.integers(-1, 3, n_items), int(draw.integers(1, 3))) for rule in range(2)]
    lists, passed = limited_lists(worth, allowed, k, rules)
    for row in range(n):
        chosen: list[int] = []
        for item in sorted(range(n_items), key=lambda item: (-worth[row, item], item)):
            if len(chosen) < k and allowed[row, item]:
                groups = [[rule.of_item[one] for one in chosen].count(rule.of_item[item]) for rule in rules]
                full = [rule.of_item[item] >= 0 and count >= rule.most for rule, count in zip(rules, groups, strict=True)]
                assert [bool(over[row, item]) for over in passed] == full
                chosen += [] if any(full) else [item]
            else:
                assert not any(over[row, item] for over in passed)
        assert lists[row].tolist() == chosen + [-1] * (k - len(chosen))
