"""The profit view: its prior, what it learns, and that it never looks ahead."""

from __future__ import annotations

import datetime as dt
import math

import numpy as np
import polars as pl

from flows.price_history import no_windows
from flows.profit_view import profit_view

DAY = dt.date(2020, 1, 1)
ASSETS = [f"A{a:02}" for a in range(30)]


def closes(last: float = 1.0) -> pl.DataFrame:
    """Thirty assets, each rising or falling steadily, closes every ten days of three years; and one close after the day."""
    days = [DAY - dt.timedelta(days=10 * number) for number in range(110, 0, -1)]
    rows = [(name, day, math.exp((a - 15) * 0.002 * place)) for a, name in enumerate(ASSETS) for place, day in enumerate(days)]
    future = [(name, DAY + dt.timedelta(days=1), last) for name in ASSETS]
    return pl.DataFrame(rows + future, schema=["asset_id", "date", "close"], orient="row").sort("asset_id", "date")


def windows(ended: dt.date, returns: list[float]) -> pl.DataFrame:
    start = ended - dt.timedelta(days=164)
    rows = [(name, start, ended, value) for name, value in zip(ASSETS, returns, strict=False)]
    return pl.DataFrame(rows, schema=no_windows().schema, orient="row")


def test_it_learns_that_what_rose_goes_on_rising_and_never_looks_ahead() -> None:
    view = profit_view(closes(), DAY, [*ASSETS, "unpriced"])
    assert view[-1] == 0
    assert (np.diff(view[:30]) > 0).mean() > 0.9
    assert view[29] > 0.001 > -0.001 > view[0]
    np.testing.assert_array_equal(view, profit_view(closes(last=999.0), DAY, [*ASSETS, "unpriced"]))
    np.testing.assert_array_equal(profit_view(closes().clear(), DAY, ASSETS), np.zeros(30))


def test_before_any_window_has_ended_calm_assets_are_expected_to_earn_more() -> None:
    days = [DAY - dt.timedelta(days=number) for number in (9, 6, 3)]
    rows = [(name, day, 1.0 + a * 0.01 * (place % 2)) for a, name in enumerate(ASSETS[:5]) for place, day in enumerate(days)]
    view = profit_view(pl.DataFrame(rows, schema=["asset_id", "date", "close"], orient="row"), DAY, ASSETS[:5])
    np.testing.assert_allclose(view, [0.015, 0.0075, 0.0, -0.0075, -0.015])


def test_a_realised_window_is_a_view_once_it_has_ended_and_not_on_its_last_day() -> None:
    nothing = closes().clear()
    told = windows(DAY, [0.01 * number for number in range(5)])
    np.testing.assert_array_equal(profit_view(nothing, DAY, ASSETS, windows=told), np.zeros(30))
    after = profit_view(nothing, DAY + dt.timedelta(days=1), ASSETS, windows=told)
    assert (after[:5] != 0).sum() >= 4
    assert not after[5:].any()


def test_a_class_speaks_for_an_asset_of_which_little_is_known() -> None:
    days = [DAY - dt.timedelta(days=number) for number in range(1, 60)]
    moving = [(name, day, math.exp(0.02 * (place % 2))) for name in ASSETS[:3] for place, day in enumerate(days)]
    calm = [(name, day, 1.0) for name in ASSETS[3:6] for day in days]
    new = [(name, DAY - dt.timedelta(days=1), 1.0) for name in ASSETS[6:8]]
    prices = pl.DataFrame(moving + calm + new, schema=["asset_id", "date", "close"], orient="row")
    classes = ["stock"] * 3 + ["bond"] * 3 + ["stock", "bond"]
    view = profit_view(prices, DAY, ASSETS[:8], classes)
    assert view[7] > 0 > view[6]
    np.testing.assert_allclose(profit_view(prices, DAY, ASSETS[:8])[6], profit_view(prices, DAY, ASSETS[:8])[7])
