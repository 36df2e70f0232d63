"""Features and regimes on literal tables."""

from __future__ import annotations

from datetime import date, timedelta
from math import isclose, log, sqrt

import numpy as np
import polars as pl
from polars.testing import assert_frame_equal

from flows.market_features import encode, market_regime, price_features

CUT = date(2024, 6, 30)


def closes(asset: str, *points: tuple[int, float]) -> pl.DataFrame:
    """``(days before the cut, close)`` points of one asset."""
    return pl.DataFrame(
        [(asset, CUT - timedelta(days=ago), close) for ago, close in points],
        schema=["asset_id", "date", "close"],
        orient="row",
    )


def test_momentum_needs_a_close_near_both_ends() -> None:
    prices = pl.concat(
        [
            closes("A", (0, 110.0), (31, 100.0)),
            closes("B", (0, 5.0), (80, 4.0)),
            closes("C", (40, 5.0), (45, 4.0)),
        ]
    )
    rows = price_features(prices, CUT, [30], 10)
    momentum = dict(rows.select("asset_id", "momentum_30").iter_rows())
    assert isclose(momentum["A"], log(1.1))
    assert momentum["B"] is None  # nothing within 10 days before the start
    assert momentum["C"] is None  # the newest close is stale
    assert rows["price_age"].to_list() == [0, 0, 40]


def test_volatility_counts_a_gap_as_its_days() -> None:
    # Five returns of +-1 % over 4 days each: variance 1e-4 per 4 days.
    points = [(20 - 4 * i, 100.0 if i % 2 == 0 else 101.0) for i in range(6)]
    rows = price_features(closes("A", *points), CUT, [], 30)
    assert isclose(rows["volatility"][0], sqrt(log(1.01) ** 2 / 4 * 365))


def test_regimes_look_back_only() -> None:
    days = [CUT - timedelta(days=200 - i) for i in range(201)]
    level = [100.0 * 1.002**i if i < 120 else 100.0 * 1.002**120 * 0.995 ** (i - 120) for i in range(201)]
    prices = pl.DataFrame({"asset_id": "A", "date": days, "close": level})
    whole = market_regime(prices, 60, 0.05, 30)
    regimes = dict(whole.select("date", "regime").iter_rows())
    assert regimes[days[30]] == "neutral"  # no window yet
    assert regimes[days[110]] == "bull"
    assert regimes[days[190]] == "bear"
    part = market_regime(prices.filter(pl.col("date") <= days[150]), 60, 0.05, 30)
    assert_frame_equal(part, whole.head(part.height))


def test_encoding_standardises_and_flags_what_is_unknown() -> None:
    frame = pl.DataFrame({"kind": ["x", "y", "x", None], "size": [1.0, 3.0, None, 2.0]})
    matrix, names = encode(frame, ["kind"], ["size"])
    assert names == ["kind=x", "kind=y", "size", "size?"]
    third = sqrt(1.5)
    np.testing.assert_allclose(matrix, [[1, 0, -third, 0], [0, 1, third, 0], [1, 0, 0, 1], [0, 0, 0, 0]], atol=1e-6)
