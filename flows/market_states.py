"""The market's regime and every asset's standing in it, week by week up to the cut, each from prices up to its day."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from lightning_modules.days import days_since_epoch
from lightning_modules.market_states import REGIMES, MarketStates

STEP_DAYS = 7
YEAR_DAYS = 365
FEWEST_RETURNS = 5
CLIP = 3.0  # standard deviations: one wild asset must not be the only winner
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def market_states(
    prices: pl.DataFrame, regimes: pl.DataFrame, asset_ids: Sequence[str], cut: date, window_days: int, stale_days: int
) -> MarketStates:
    """Momentum over ``window_days`` and calm (minus log yearly volatility) per asset, on a weekly grid that ends on ``cut``.

    Args:
        prices: asset_id, date, close, nothing after the cut; regimes: of :func:`flows.market_features.market_regime`.
        stale_days: a close older than this says nothing about a day.

    Volatility is that of the year before the day and needs five returns. Both are standardised among the assets of
    the day and clipped at three standard deviations; what is unknown is 0.
    """
    if prices.is_empty() or regimes.is_empty():
        return MarketStates.unknown(len(asset_ids))
    ordered = prices.sort("asset_id", "date").with_columns(day=pl.col("date").to_physical().cast(pl.Int64))
    last, first = days_since_epoch(cut), int(ordered["day"].min())  # type: ignore[arg-type]
    grid = np.arange(last, first - 1, -STEP_DAYS, dtype=np.int64)[::-1]
    raw = np.full((len(grid), len(asset_ids), 2), np.nan)
    place = {asset: column for column, asset in enumerate(asset_ids)}
    for (asset,), rows in ordered.group_by("asset_id", maintain_order=True):
        if asset in place:
            day, level = rows["day"].to_numpy(), np.log(rows["close"].to_numpy())
            raw[:, place[str(asset)]] = _standing(day, level, grid, window_days, stale_days)
    known = regimes.sort("date")
    row = np.searchsorted(known["date"].to_physical().to_numpy(), grid, side="right") - 1
    number = known["regime"].replace_strict(REGIMES, return_dtype=pl.Int32).to_numpy()
    return MarketStates(
        days=torch.from_numpy(grid.astype(np.int32)),
        regimes=torch.from_numpy(np.where(row >= 0, number[np.maximum(row, 0)], 0).astype(np.int32)),
        standing=torch.from_numpy(_standardised(raw)),
    )


def _standing(day: Ints, level: Floats, grid: Ints, window_days: int, stale_days: int) -> Floats:
    """[T, 2] momentum and calm of one asset; NaN where unknown."""
    now = np.searchsorted(day, grid, side="right") - 1
    then = np.searchsorted(day, grid - window_days, side="right") - 1
    year = np.searchsorted(day, grid - YEAR_DAYS, side="left")  # the first close of the year before
    at, past = np.maximum(now, 0), np.maximum(then, 0)
    fresh = (now >= 0) & (grid - day[at] <= stale_days)
    has_past = (then >= 0) & (grid - window_days - day[past] <= stale_days)
    momentum = np.where(fresh & has_past, level[at] - level[past], np.nan)
    squares = np.concatenate([[0.0], np.cumsum(np.diff(level) ** 2)])
    start = np.minimum(year, at)
    enough = fresh & (at - start >= FEWEST_RETURNS)
    span = np.maximum(day[at] - day[start], 1)
    variance = (squares[at] - squares[start]) / span * YEAR_DAYS
    calm = np.where(enough & (variance > 0), -0.5 * np.log(np.maximum(variance, 1e-12)), np.nan)
    return np.stack([momentum, calm], axis=-1)


def _standardised(raw: Floats) -> NDArray[np.float32]:
    known = np.isfinite(raw)
    count = np.maximum(known.sum(1, keepdims=True), 1)
    filled = np.where(known, raw, 0.0)
    mean = filled.sum(1, keepdims=True) / count
    centred = np.where(known, raw - mean, 0.0)
    spread = np.sqrt((centred**2).sum(1, keepdims=True) / count)
    return np.clip(centred / np.where(spread > 1e-9, spread, 1.0), -CLIP, CLIP).astype(np.float32)
