"""The profit view of an asset, point in time: its expected return a month against the other assets of the day.

A ridge regression, pulled to a prior, of an asset's later monthly return, relative to the other assets of the same day, on
what its past prices say (:mod:`flows.price_history`): momentum over one to twelve months, the return since its first close,
volatility, drawdown, and its mean return over realised windows. It is fitted anew on every day it is asked for, on windows
that had *ended* before it: nothing dated on the day or later is read. Before any has ended, the prior speaks; and since so
few windows are independent it weighs heavily later too: the view is mostly a tilt to calm assets.
"""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl

from flows.price_history import FEATURES, REACH, STEP, Floats, PriceHistory, standardised
from lightning_modules.days import days_since_epoch

HORIZONS = (30, 90)
"""Days ahead of the short windows that teach beside the realised ones: they end first, so they teach early."""
FEWEST = 20
"""Assets that a window must know to teach."""
RIDGE = 3000.0
"""Windows overlap and assets move together: thousands of rows are worth a handful of independent ones."""
PRIOR = np.array([{"volatility": -0.03, "momentum_180": 0.01}.get(name, 0.0) for name in FEATURES])
"""Before any window has ended: from one end of the day's assets to the other calm ones earn 0.03 a month more (the
low-volatility anomaly), and those that rose over half a year 0.01 (momentum).

Both are known from the literature; the weights were chosen on the validation splits, where calm assets beat the mean in both
windows with closes, momentum changed little, and weights learnt from prices alone did worse.
"""
MOST = 0.3
"""A window's return relative to the mean teaches up to this much a month: one asset's leap is no rule."""


def profit_view(
    closes: pl.DataFrame,
    day: dt.date,
    assets: list[str],
    classes: list[str] | None = None,
    windows: pl.DataFrame | None = None,
) -> Floats:
    """[N] expected monthly return relative to the mean asset, from what is dated before ``day``; 0 where no price is known.

    Args:
        closes: asset_id, date, close.
        classes: [N] class of each asset, "" where unknown; an asset of which little is known is taken for one of its class.
        windows: returns over windows, each known once it has ended (:func:`flows.price_history.no_windows`); without them
            the closes' own returns.
    """
    history = PriceHistory(closes, day, assets, classes or [""] * len(assets), windows)
    now = days_since_epoch(day)
    view = np.zeros(len(assets))
    seen = history.seen(now)
    if seen.sum() > 1:
        view[seen] = standardised(history.features(now)[seen]) @ _learn(history, now)
    return view


def _learn(history: PriceHistory, now: int) -> Floats:
    """Weights of the standardised features, from windows that ended before ``now``; the prior where there are too few."""
    inputs: list[Floats] = []
    outcomes: list[Floats] = []
    short = [
        (start, history.monthly_returns(start, start + days))
        for days in HORIZONS
        for start in range(now - days, now - REACH, -STEP)
    ]
    for start, returns in [*short, *history.ended_windows()]:
        known = history.seen(start) & np.isfinite(returns)
        if known.sum() >= FEWEST:
            inputs.append(standardised(history.features(start)[known]))
            outcomes.append(np.clip(returns[known] - returns[known].mean(), -MOST, MOST))
    if not inputs:
        return PRIOR
    x, y = np.concatenate(inputs), np.concatenate(outcomes)
    return np.asarray(PRIOR + np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ (y - x @ PRIOR)), np.float64)
