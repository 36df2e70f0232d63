"""Features of past prices by hand, and that nothing dated on the day or later reaches one."""

from __future__ import annotations

import datetime as dt
import math

import numpy as np
import polars as pl
import pytest

from flows.price_history import FEATURES, OF_ALL, OWN_MOVES, OWN_WINDOWS, PriceHistory, no_windows, standardised
from lightning_modules.days import EPOCH

DAY = dt.date(2020, 1, 1)
NOW = (DAY - EPOCH).days


def closes(*rows: tuple[str, int, float]) -> pl.DataFrame:
    """asset, days before DAY, close."""
    dated = [(asset, DAY - dt.timedelta(days=back), close) for asset, back, close in rows]
    return pl.DataFrame(dated, schema={"asset_id": pl.String, "date": pl.Date, "close": pl.Float64}, orient="row")


def windows(*rows: tuple[str, int, int, float]) -> pl.DataFrame:
    """asset, start and end as days before DAY, monthly return."""
    dated = [(asset, DAY - dt.timedelta(days=start), DAY - dt.timedelta(days=end), value) for asset, start, end, value in rows]
    return pl.DataFrame(dated, schema=no_windows().schema, orient="row")


def named(history: PriceHistory, now: int = NOW) -> list[dict[str, float]]:
    return [dict(zip(FEATURES, row, strict=True)) for row in history.features(now).tolist()]


def test_features_of_closes_by_hand() -> None:
    prices = closes(("A", 301, 8.0), ("A", 91, 16.0), ("A", 31, 5.0), ("A", 1, 10.0), ("B", 30, 7.0), ("B", 26, 7.0))
    a, b = named(PriceHistory(prices, DAY, ["A", "B"], ["stock", "stock"], windows(("A", 900, 800, 0.0))))
    assert a["momentum_30"] == pytest.approx(math.log(10 / 5))
    assert a["momentum_90"] == pytest.approx(math.log(10 / 16) / 3)
    assert all(math.isnan(a[name]) for name in ("momentum_180", "momentum_365"))
    assert a["since_first"] == pytest.approx(math.log(10 / 8) / 300 * 30)
    assert a["drawdown"] == pytest.approx(math.log(10 / 16))
    # Moves of 60 and of 30 days; the one over 210 days says more of the drift. B did not move in four days.
    moves = [math.log(5 / 16) ** 2 / 60, math.log(10 / 5) ** 2 / 30]
    of_a, of_all = sum(moves) / 2, sum(moves) / 4
    of_class = (of_a + 0 + OF_ALL * of_all) / (2 + OF_ALL)
    assert a["volatility"] == pytest.approx(math.sqrt((sum(moves) + OWN_MOVES * of_class) / (2 + OWN_MOVES)))
    # B's last close is stale: it has no momentum and no drawdown, yet its class and its one move say how calm it is.
    assert all(math.isnan(b[name]) for name in ("momentum_30", "drawdown"))
    assert b["volatility"] == pytest.approx(math.sqrt(OWN_MOVES * of_class / (1 + OWN_MOVES)))


def test_rare_closes_do_not_make_an_asset_restless() -> None:
    often = [("A", back, math.exp(0.01 * (back % 2))) for back in range(1, 101)]  # one hundredth up or down every day
    rarely = [("B", back, math.exp(0.01 * math.sqrt(20) * (back // 20 % 2))) for back in range(1, 101, 20)]
    a, b = named(PriceHistory(closes(*often, *rarely), DAY, ["A", "B"], ["", ""]))
    assert a["volatility"] == pytest.approx(0.01, rel=1e-6) == b["volatility"]


def test_realised_windows_stand_in_for_closes() -> None:
    told = windows(("A", 210, 46, 0.02), ("A", 180, 16, 0.04), ("B", 180, 16, -0.01), ("D", 600, 436, 0.5))
    history = PriceHistory(closes(), DAY, ["A", "B", "C", "D"], ["fund", "fund", "fund", ""], told)
    a, b, c, d = named(history)
    # D's window ended more than a year ago, C has none: both are taken for what their class is.
    of_a, of_b = math.log(1.02) + math.log(1.04), math.log(0.99)
    mean = (of_a / 2 + of_b) / 2
    assert a["realised"] == pytest.approx((of_a + OWN_WINDOWS * mean) / (2 + OWN_WINDOWS))
    assert b["realised"] == pytest.approx((of_b + OWN_WINDOWS * mean) / (1 + OWN_WINDOWS))
    assert c["realised"] == pytest.approx(mean) == d["realised"]
    assert a["volatility"] > b["volatility"]
    assert history.seen(NOW).tolist() == [True, True, False, False]
    # On its last day it is not known yet, and not for ever after.
    assert history.seen(NOW - 16).tolist() == [False] * 4
    later = PriceHistory(closes(), DAY + dt.timedelta(days=10), ["A", "B", "C", "D"], [""] * 4, told)
    assert not later.seen(NOW + 10).any()
    found = dict(history.ended_windows())
    assert found[NOW - 180][:2].tolist() == pytest.approx([0.04, -0.01])
    assert np.isnan(found[NOW - 180][2:]).all()


def test_without_windows_the_closes_own_returns_are_the_windows() -> None:
    steady = [("A", back, math.exp(-0.001 * back)) for back in range(1, 400)]
    history = PriceHistory(closes(*steady), DAY, ["A"], [""])
    assert {round(float(returns[0]), 12) for _, returns in history.ended_windows()} == {round(math.expm1(0.03), 12)}
    assert named(history)[0]["realised"] == pytest.approx(0.03)
    assert max(start for start, _ in history.ended_windows()) < NOW - 164


def test_nothing_of_the_day_or_later_is_read() -> None:
    before = [("A", 200, 4.0), ("A", 100, 6.0), ("A", 3, 5.0), ("B", 3, 5.0)]
    told = windows(("A", 164, 1, 0.01))
    plain = PriceHistory(closes(*before), DAY, ["A", "B"], ["x", "x"], told)
    later = PriceHistory(
        closes(*before, ("A", 0, 99.0), ("B", -5, 99.0)),
        DAY,
        ["A", "B"],
        ["x", "x"],
        pl.concat([told, windows(("A", 164, 0, 0.9), ("B", 100, -9, 0.9))]),
    )
    np.testing.assert_array_equal(plain.features(NOW), later.features(NOW))
    np.testing.assert_array_equal(plain.seen(NOW), later.seen(NOW))
    assert [start for start, _ in later.ended_windows()] == [NOW - 164]
    # Nor what lies too far back to be looked at.
    old = pl.concat([told, windows(("A", 2000, 1836, 0.9))])
    np.testing.assert_array_equal(
        plain.features(NOW), PriceHistory(closes(*before), DAY, ["A", "B"], ["x", "x"], old).features(NOW)
    )
    # The same history asked of an earlier day knows no more than one that ends there.
    then = PriceHistory(closes(*before), DAY - dt.timedelta(days=50), ["A", "B"], ["x", "x"], windows(("C", 900, 800, 0.0)))
    np.testing.assert_array_equal(plain.features(NOW - 50), then.features(NOW - 50))


def test_ranks_are_equal_for_equal_assets_and_zero_where_unknown() -> None:
    ranks = standardised(np.array([[1.0, np.nan], [3.0, 5.0], [3.0, np.nan], [9.0, np.nan]]))
    assert ranks[:, 0].tolist() == pytest.approx([-0.5, 0.0, 0.0, 0.5])
    assert ranks[:, 1].tolist() == [0.0] * 4
