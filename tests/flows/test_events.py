"""Events on a literal table, and against a plain sort of any table."""

from __future__ import annotations

from datetime import date, timedelta
from math import log, log1p

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_contracts.coded import group_starts, order_by
from flows.events import read_events

CUT = date(2024, 6, 30)


def test_purchases_are_ordered_by_customer_and_day_and_then_as_they_stand() -> None:
    buys = pl.LazyFrame(
        {
            "customer_id": ["v", "u", "u", "u", "u"],
            "asset_id": ["A", "B", "A", "C", "A"],
            "date": [CUT, CUT, CUT, CUT - timedelta(days=30), CUT - timedelta(days=1)],
            "value": [None, 1.0, 2.0, 3.0, 4.0],
        }
    )
    events = read_events(buys, pl.Series(["t", "u", "v"]), pl.Series(["A", "B", "C"]))
    rows = events.table().to_pylist()
    day = (CUT - date(1970, 1, 1)).days
    assert [(row["item"], row["day"] - day, row["first"]) for row in rows] == [
        (3, -30, 1),
        (1, -1, 1),
        (2, 0, 1),
        (1, 0, 0),
        (1, 0, 1),
    ]
    assert [row["weight"] for row in rows] == pytest.approx([log1p(w) for w in (3.0, 4.0, 1.0, 2.0, 0.0)])
    assert events.counts(3).tolist() == [0, 4, 1]
    popularity = events.buyers(3, CUT, [30, 31])
    # Customers, not trades; a purchase exactly 30 days ago is outside a window of 30 days.
    assert popularity["buyers_30"].tolist() == pytest.approx([log(3), log(2), 0.0])
    assert popularity["buyers_31"].tolist() == pytest.approx([log(3), log(2), log(2)])


def test_nobody_bought_anything() -> None:
    schema = {"customer_id": pl.String, "asset_id": pl.String, "date": pl.Date, "value": pl.Float64}
    events = read_events(pl.LazyFrame(schema=schema), pl.Series(["u"]), pl.Series(["A"]))
    assert events.table().num_rows == 0
    assert events.counts(1).tolist() == [0]
    assert events.buyers(1, CUT, [30])["buyers_30"].tolist() == [0.0]


numbers = st.one_of(st.integers(0, 3), st.integers(0, 2**31 - 1))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(numbers, numbers), max_size=40))
def test_the_order_is_that_of_a_stable_sort(pairs: list[tuple[int, int]]) -> None:
    major, minor = (np.array([pair[place] for pair in pairs], np.int64) for place in (0, 1))
    expected = sorted(range(len(pairs)), key=lambda row: pairs[row])
    order = order_by(major, minor)
    assert order.tolist() == expected
    starts = group_starts(major[order], minor[order])
    ordered = [pairs[row] for row in expected]
    assert starts.tolist() == [row for row in range(len(pairs)) if row == 0 or ordered[row] != ordered[row - 1]]
