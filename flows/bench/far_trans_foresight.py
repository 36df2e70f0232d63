"""What lists would earn if the profit view knew more than any can: the returns to come, whole or blurred by noise.

It says how far the front between preference and profit could reach, and what rank correlation with the returns to come a
view must have to get to a point of it. Nothing here takes part in any list that is reported as ours.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.stats import spearmanr

from flows.bench.far_trans_data import Split
from flows.bench.far_trans_lists import list_metrics
from flows.dial import Floats, chosen_by_dial

SKILLS = (1.0, 0.7, 0.5, 0.3, 0.2, 0.1)
"""Correlation of the blurred returns with the returns."""
DIALS = (0.0, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.25, 0.5)
FEWEST = 10
"""Known returns below which a split says nothing of a view."""


def no_foresight() -> pl.DataFrame:
    """An empty table of what :func:`foresight` finds."""
    floats = dict.fromkeys(("skill", "dial", "ndcg", "roi", "ic"), pl.Float64)
    return pl.DataFrame(schema={"split": pl.Int64, **floats})


def returns_of(split: Split, assets: list[str]) -> Floats:
    """[N] monthly return of each asset over the split, NaN where unknown."""
    return np.array([split.returns.get(asset, np.nan) for asset in assets])


def information_coefficient(view: Floats, returns: Floats) -> float | None:
    """Spearman's rank correlation over assets that have both a view (not 0) and a known return; None for fewer than ten."""
    both = np.isfinite(returns) & (view != 0)
    if both.sum() < FEWEST or len(np.unique(view[both])) < 2:
        return None
    return float(spearmanr(view[both], returns[both]).statistic)


def blurred(returns: Floats, skill: float, generator: np.random.Generator) -> Floats:
    """[N] the returns to come relative to their mean, blurred to correlation ``skill`` with themselves, with their spread.

    An asset whose return is unknown gets the lowest value, so that it is never listed for profit.
    """
    known = np.isfinite(returns)
    noise = generator.standard_normal(len(returns))
    view = np.zeros(len(returns))
    view[known] = skill * (returns[known] - returns[known].mean())
    view[known] += np.sqrt(1 - skill**2) * returns[known].std() * noise[known]
    view[~known] = view[known].min() if known.any() else 0.0
    return view


def foresight(
    scores: npt.NDArray[np.floating[Any]], allowed: npt.NDArray[np.bool_], assets: list[str], split: Split, seed: int
) -> pl.DataFrame:
    """split, skill, dial, ndcg, roi (means over eligible customers), ic: one row per skill and dial."""
    returns = returns_of(split, assets)
    if np.isfinite(returns).sum() < FEWEST:
        return no_foresight()
    rows = []
    for skill in SKILLS:
        view = blurred(returns, skill, np.random.default_rng([seed, split.number]))
        ic = information_coefficient(view, returns)
        for dial in DIALS:
            means = list_metrics(chosen_by_dial(scores, view, allowed, dial), assets, split).select(pl.col("ndcg", "roi").mean())
            rows.append((split.number, skill, dial, *means.row(0), ic))
    return pl.DataFrame(rows, schema=no_foresight().schema, orient="row")


def earned_at(points: pl.DataFrame, ndcg: float) -> float | None:
    """ROI@10 where the front ``points`` (ndcg, roi) crosses ``ndcg``, interpolated between settings; None beyond its ends."""
    front = points.drop_nulls().sort("ndcg")
    if not front.height or not front["ndcg"][0] <= ndcg <= front["ndcg"][-1]:
        return None
    return float(np.interp(ndcg, front["ndcg"].to_numpy(), front["roi"].to_numpy()))
