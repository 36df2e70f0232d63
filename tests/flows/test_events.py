"""Events on a literal table, and against a plain sort of any table."""

from __future__ import annotations

from datetime import date, timedelta
from math import log
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_contracts import coded
from data_contracts.coded import group_starts, order_and_groups, order_by
from flows.events import Events, events_of

CUT = date(2024, 6, 30)


def events(rows: list[tuple[int, int, int, float]]) -> Events:
    """Of (customer, item, day, weight)."""
    columns = list(zip(*rows, strict=True)) or [(), (), (), ()]
    kinds = (np.uint32, np.int32, np.int32, np.float32)
    arrays = [np.array(values, kind) for values, kind in zip(columns, kinds, strict=True)]
    with patch.object(coded, "WORTH_TWO", 2):  # a thread for each half of the customers
        return events_of(*arrays, 3)  # type: ignore[arg-type]


def test_purchases_are_ordered_by_customer_and_day_and_then_as_they_stand() -> None:
    day = (CUT - date(1970, 1, 1)).days
    found = events([(2, 1, day, 0.5), (1, 2, day, 1.0), (1, 1, day, 2.0), (1, 3, day - 30, 3.0), (1, 1, day - 1, 4.0)])
    rows = found.table().to_pylist()
    assert [(row["item"], row["day"] - day, row["weight"], row["first"]) for row in rows] == [
        (3, -30, 3.0, 1),
        (1, -1, 4.0, 1),
        (2, 0, 1.0, 1),
        (1, 0, 2.0, 0),
        (1, 0, 0.5, 1),
    ]
    assert (found.counts.tolist(), found.offsets.tolist()) == ([0, 4, 1], [0, 0, 4, 5])
    popularity = found.buyers(3, CUT, [30, 31])
    # Customers, not trades; a purchase exactly 30 days ago is outside a window of 30 days.
    assert popularity["buyers_30"].tolist() == pytest.approx([log(3), log(2), 0.0])
    assert popularity["buyers_31"].tolist() == pytest.approx([log(3), log(2), log(2)])


def test_the_last_purchase_says_how_lately_an_item_was_bought() -> None:
    """Bought 40 days ago and again yesterday: within 30 days; bought 40 days ago only: not."""
    day = (CUT - date(1970, 1, 1)).days
    found = events([(0, 1, day - 40, 1.0), (0, 1, day - 1, 1.0), (1, 1, day - 40, 1.0)]).buyers(1, CUT, [30, 90])
    assert (found["buyers_30"].tolist(), found["buyers_90"].tolist()) == ([log(2)], [log(3)])


def test_halves_of_the_customers_make_the_events_that_all_of_them_make() -> None:
    draw = np.random.default_rng(5)
    customer, item, day = (draw.integers(low, high, 500) for low, high in ((0, 9), (1, 6), (100, 160)))
    arrays = customer.astype(np.uint32), item.astype(np.int32), day.astype(np.int32), draw.random(500, np.float32)
    whole = events_of(*arrays, 9)
    with patch.object(coded, "WORTH_TWO", 8):
        assert len(coded.halves(arrays[0])) == 2
        halved = events_of(*arrays, 9)
    for name in ("counts", "item", "day", "weight", "first"):
        assert getattr(halved, name).tolist() == getattr(whole, name).tolist()
    lately = {(who, what) for who, what, when in zip(customer, item, day, strict=True) if when > 130}
    buyers = whole.buyers(5, date(1970, 1, 1) + timedelta(days=160), [30])["buyers_30"]
    assert buyers.tolist() == pytest.approx([log(1 + sum(what == number for _, what in lately)) for number in range(1, 6)])


def test_nobody_bought_anything() -> None:
    found = events([])
    assert found.table().num_rows == 0
    assert found.counts.tolist() == [0, 0, 0]
    assert found.buyers(1, CUT, [30])["buyers_30"].tolist() == [0.0]


numbers = st.one_of(st.integers(0, 3), st.integers(0, 2**31 - 1))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(numbers, numbers, numbers), max_size=40))
def test_the_order_is_that_of_a_stable_sort(rows: list[tuple[int, int, int]]) -> None:
    """Of two keys that fit into one number with the position, and of three that do not."""
    keys = [np.array([row[place] for row in rows], np.int64) for place in (0, 1, 2)]
    assert order_by(*keys).tolist() == sorted(range(len(rows)), key=lambda row: rows[row])
    order = order_by(*keys[:2])
    expected = sorted(range(len(rows)), key=lambda row: rows[row][:2])
    assert order.tolist() == expected
    some = np.arange(0, len(rows), 3)
    assert order_by(*keys, rows=some).tolist() == sorted(some.tolist(), key=lambda row: rows[row])
    starts = group_starts(keys[0][order], keys[1][order])
    for count in (2, 3):
        order, found = order_and_groups(*keys[:count])
        assert found.tolist() == group_starts(*(key[order] for key in keys[:count])).tolist()
    ordered = [rows[row][:2] for row in expected]
    assert starts.tolist() == [row for row in range(len(rows)) if row == 0 or ordered[row] != ordered[row - 1]]
