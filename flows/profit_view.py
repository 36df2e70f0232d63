"""The profit view of an asset, point in time, and the one dial between preference and profit.

The view is a ridge regression, pulled to a prior, of an asset's later monthly return, relative to the other assets of the
same day, on its past: momentum over one to twelve months, the return since its first close, volatility and drawdown. It is
fitted anew on every day it is asked for, on windows that had *ended* before it: nothing dated on the day or later is read.
Before any has ended, the prior speaks; and since so few windows are independent it
weighs heavily later too: the view is mostly a tilt to calm assets.

The dial weighs the two: of all allowed assets those ten are listed that maximise

    (1 - dial) * probability that the customer buys it  +  dial * profit view

in the order of that probability. The dial decides what is on the list, preference decides the order.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.stats import rankdata

K = 10
MOMENTA = (30, 90, 180, 365)
STALE = 25
"""A close older than this many days says nothing about a day."""
HORIZONS = (30, 90, 164)
"""Days ahead of the windows that teach; the short ones end first, so there is something to learn from early on."""
STEP = 12
RIDGE = 3000.0
"""Windows overlap and assets move together: thousands of rows are worth a handful of independent ones."""
PRIOR = np.array([0.0] * len(MOMENTA) + [0.0, -0.03, 0.0])
"""Before any window has ended: calm assets earn more (the low-volatility anomaly), 0.03 a month from one end to the other.

Chosen on the validation splits, where the ten calmest beat the mean asset in both windows with closes, and no
weights learnt from prices alone did.
"""
EPOCH = dt.date(1970, 1, 1)
Floats = npt.NDArray[np.float64]
Closes = dict[str, tuple[npt.NDArray[np.int64], Floats]]


def profit_view(closes: pl.DataFrame, day: dt.date, assets: list[str]) -> Floats:
    """[N] expected monthly return relative to the mean asset, from closes dated before ``day``; 0 where unknown."""
    now = (day - EPOCH).days
    past = closes.filter(pl.col("date") < day)
    table = _by_asset(past)
    if not table:
        return np.zeros(len(assets))
    weights = _learn(table, now)
    view = np.zeros(len(assets))
    here = [number for number, asset in enumerate(assets) if asset in table]
    known = np.array([_features(*table[assets[number]], now) for number in here])
    usable = np.isfinite(known[:, 0])
    if usable.sum() < 2:
        return view
    view[np.array(here)[usable]] = _standardised(known[usable]) @ weights
    return view


def chosen_by_dial(
    scores: npt.NDArray[np.floating[Any]], profit: Floats, allowed: npt.NDArray[np.bool_], dial: float, k: int = K
) -> npt.NDArray[np.int64]:
    """[n, k] columns listed at ``dial`` in [0, 1], -1 = empty place; 0 is preference alone, 1 profit alone."""
    wanted = top_lists(scores if dial == 0 else worth(scores, profit, allowed, dial), allowed, k)
    # Preference orders what was chosen.
    chosen = np.zeros_like(allowed)
    row, place = np.nonzero(wanted >= 0)
    chosen[row, wanted[row, place]] = True
    return top_lists(scores, chosen, k)


def top_lists(scores: npt.NDArray[np.floating[Any]], allowed: npt.NDArray[np.bool_], k: int = K) -> npt.NDArray[np.int64]:
    """[n, k] columns of the best allowed scores, best first, equal scores by column; -1 where fewer are allowed."""
    masked = np.where(allowed, scores, -np.inf)
    order = np.argsort(-masked, axis=1, kind="stable")[:, :k]
    lists = np.full((len(scores), k), -1, np.int64)
    lists[:, : order.shape[1]] = np.where(np.take_along_axis(allowed, order, 1), order, -1)
    return lists


def worth(
    scores: npt.NDArray[np.floating[Any]], profit: Floats, allowed: npt.NDArray[np.bool_], dial: float
) -> npt.NDArray[np.floating[Any]]:
    """[n, N]: the weighted sum of the probability of a purchase and the profit view."""
    masked = np.where(allowed, scores, -np.inf)
    highest = masked.max(1, keepdims=True)
    shifted = np.exp(masked - np.where(np.isfinite(highest), highest, 0.0))
    chance = shifted / np.maximum(shifted.sum(1, keepdims=True), np.finfo(np.float64).tiny)
    return np.asarray((1 - dial) * chance + dial * profit)


def _by_asset(closes: pl.DataFrame) -> Closes:
    table: Closes = {}
    for (asset,), rows in closes.filter(pl.col("close") > 0).sort("date").group_by("asset_id", maintain_order=True):
        table[str(asset)] = (rows["date"].dt.epoch("d").to_numpy().astype(np.int64), rows["close"].to_numpy())
    return table


def _close(days: npt.NDArray[np.int64], prices: Floats, before: int) -> tuple[int, float] | None:
    """Day and price of the newest close before day ``before``, if it is not stale."""
    place = int(np.searchsorted(days, before)) - 1
    if place < 0 or days[place] < before - STALE:
        return None
    return int(days[place]), float(prices[place])


def _features(days: npt.NDArray[np.int64], prices: Floats, now: int) -> Floats:
    """What is known of an asset before day ``now``: the first entry is NaN where it has no fresh close."""
    last = _close(days, prices, now)
    if last is None:
        return np.full(len(MOMENTA) + 4, np.nan)
    values = []
    for back in MOMENTA:
        then = _close(days, prices, now - back)
        values.append(np.log(last[1] / then[1]) / back * 30 if then else np.nan)
    since = np.log(last[1] / prices[0]) / max(last[0] - days[0], 1) * 30 if last[0] - days[0] > 200 else np.nan
    window = prices[(days < now) & (days >= now - 200)]
    moves = np.diff(np.log(window))
    volatility = moves.std() if len(moves) > 3 else np.nan
    drawdown = np.log(last[1] / window.max()) if len(window) else np.nan
    return np.array([last[1], *values, since, volatility, drawdown])


def _standardised(features: Floats) -> Floats:
    """Ranks within the day, -0.5 to 0.5, 0 where unknown: prices know outliers, and what counts is which asset is better."""
    features = features[:, 1:]
    ranks = np.zeros_like(features)
    for column, values in enumerate(features.T):
        known = np.flatnonzero(np.isfinite(values))
        if len(known) > 1:
            # Rounded, so that what differs by rounding alone is equal, and equal assets get an equal rank.
            place = rankdata(values[known].round(6)) - 1
            ranks[known, column] = place / (len(known) - 1) - 0.5
    return ranks


def _learn(table: Closes, now: int) -> Floats:
    """Weights of the standardised features, from windows that ended before ``now``; the prior where there are too few."""
    inputs: list[Floats] = []
    outcomes: list[Floats] = []
    for horizon in HORIZONS:
        for start in range(now - horizon, now - 700, -STEP):
            known, later = [], []
            for days, prices in table.values():
                features = _features(days, prices, start)
                first, last = _close(days, prices, start), _close(days, prices, start + horizon)
                if np.isfinite(features[0]) and first and last and last[0] > first[0]:
                    known.append(features)
                    later.append((last[1] / first[1]) ** (30 / (last[0] - first[0])) - 1)
            if len(known) >= 20:
                inputs.append(_standardised(np.array(known)))
                outcomes.append(np.clip(np.array(later) - np.mean(later), -0.3, 0.3))
    if not inputs:
        return PRIOR
    x, y = np.concatenate(inputs), np.concatenate(outcomes)
    return np.asarray(PRIOR + np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ (y - x @ PRIOR)), np.float64)
