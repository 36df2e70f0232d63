"""Standings and regimes on a weekly grid, from literal prices."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import torch

from flows.market_features import market_regime
from flows.market_states import market_states

CUT = date(2024, 6, 30)


def prices(days: int = 300) -> pl.DataFrame:
    """Three assets: RISE gains 0.3 % a day, FALL loses as much, WILD goes up and down by 5 %."""
    index = np.arange(days)
    level = {"FALL": 0.997**index, "RISE": 1.003**index, "WILD": 1.05 ** (index % 2)}
    dates = [CUT - timedelta(days=days - 1 - i) for i in range(days)]
    return pl.concat([pl.DataFrame({"asset_id": name, "date": dates, "close": 100 * values}) for name, values in level.items()])


def test_winners_and_calm_assets_stand_high() -> None:
    made = market_states(prices(), market_regime(prices(), 60, 0.02, 30), ["FALL", "NEVER", "RISE", "WILD"], CUT, 60, 10)
    assert made.days[-1].item() == (CUT - date(1970, 1, 1)).days
    assert set(np.diff(made.days.numpy())) == {7}
    fall, never, rise, wild = made.standing[-1].tolist()
    assert rise[0] > 1.0 > wild[0] > -1.0 > fall[0]  # momentum
    assert wild[1] < -1.0  # calm
    assert min(fall[1], rise[1]) > 0.5
    assert never == [0.0, 0.0]
    assert (made.standing[0, :, 0] == 0).all()  # no past yet


def test_nothing_of_a_later_day_reaches_an_earlier_one() -> None:
    whole, part = prices(), prices().filter(pl.col("date") <= CUT - timedelta(days=70))
    later = market_states(whole, market_regime(whole, 60, 0.02, 30), ["FALL", "RISE"], CUT, 60, 10)
    earlier = market_states(part, market_regime(part, 60, 0.02, 30), ["FALL", "RISE"], CUT - timedelta(days=70), 60, 10)
    known = len(earlier.days)
    assert torch.equal(later.days[:known], earlier.days)
    assert torch.equal(later.regimes[:known], earlier.regimes)
    assert torch.equal(later.standing[:known], earlier.standing)


def test_a_stale_price_says_nothing() -> None:
    rows = prices().filter((pl.col("asset_id") != "RISE") | (pl.col("date") < CUT - timedelta(days=20)))
    made = market_states(rows, market_regime(rows, 60, 0.02, 30), ["FALL", "RISE", "WILD"], CUT, 60, 10)
    assert made.standing[-1, 1].tolist() == [0.0, 0.0]


def test_without_prices_nothing_is_known() -> None:
    none = prices().clear()
    assert market_states(none, market_regime(none, 60, 0.02, 30), ["A"], CUT, 60, 10).standing.shape == (0, 1, 2)
