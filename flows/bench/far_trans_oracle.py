"""What knowing the test window would be worth: references that look ahead, and no contestants.

    the window's demand                the window's buyers of each asset, the same list for every customer
    the window's demand x our scores   the model's scores, with one number an asset added, by which the purchases that they
                                       expect are the window's
    ours, told all others' purchases   the model trained on what everybody else buys in the window too: customers in ``FOLDS``
                                       parts, each asked of a model that was told what the other parts buy

The first knows what will be in demand, and not by whom; the second adds to that what the model knows of the customer; the
third knows the window's demand and its tastes, all but the asked customers' own. A model that does not look ahead has
to guess all of it, so they say where what is missing to a better value is to be looked for. They are no upper bounds in
the strict sense: each is what one way of using such knowledge comes to, and the third is asked on the window's last day.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from flows.bench.far_trans_data import FarTransBenchmark, Split

DEMAND = "oracle: the window's demand"
DEMAND_BY_MODEL = "oracle: the window's demand x our scores"
OTHERS = "oracle: ours, told all others' purchases"
ORACLES = (DEMAND, DEMAND_BY_MODEL, OTHERS)
FOLDS = 5
ROUNDS = 100
"""Of the proportional fitting."""
LEAST = 0.01
"""Customers: an asset that nobody buys is expected to have this many."""

Floats = npt.NDArray[np.floating[Any]]
Scorer = Callable[[Path, Split, Path], npt.NDArray[np.float32]]
"""(histories directory, split, where the fit goes) -> [n, N] scores of ``split.customers``."""


def demand_scores(scores: Floats, allowed: npt.NDArray[np.bool_], wanted: npt.NDArray[np.float64]) -> dict[str, Floats]:
    """[n, N] per oracle that knows how much of each asset is bought and not by whom.

    Args:
        scores: [n, N], the model's own.
        allowed: [n, N], what may be listed.
        wanted: [N], see :func:`demand`.
    """
    return {DEMAND: np.broadcast_to(wanted, scores.shape), DEMAND_BY_MODEL: raked(scores, allowed, wanted)}


def demand(split: Split, assets: list[str]) -> npt.NDArray[np.float64]:
    """[N] buyers of each asset in the window; a customer counts once in all, however much is bought."""
    shares = split.relevant.with_columns(share=1 / pl.len().over("customerID"))
    bought = dict(shares.group_by("ISIN").agg(pl.col("share").sum()).iter_rows())
    return np.array([bought.get(asset, 0.0) for asset in assets])


def raked(scores: Floats, allowed: npt.NDArray[np.bool_], wanted: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """[n, N]: scores plus one number an asset, by which the sum over customers of softmax(scores) is ``wanted``.

    Iterative proportional fitting (Deming and Stephan 1940) on the table of expected purchases.
    """
    masked = np.where(allowed, scores, -np.inf).astype(np.float64)
    masked = masked[allowed.any(1)]
    masked -= masked.max(1, keepdims=True)
    added = np.zeros(len(wanted))
    for _ in range(ROUNDS):
        chance = np.exp(masked + (added - added.max()))
        expected = (chance / np.maximum(chance.sum(1, keepdims=True), np.finfo(np.float64).tiny)).sum(0)
        added += np.log(np.maximum(wanted, LEAST)) - np.log(np.maximum(expected, LEAST))
    return np.asarray(scores + added, np.float64)


def told_of_others(
    benchmark: FarTransBenchmark, split: Split, scorer: Scorer, scratch: Path, seed: int
) -> npt.NDArray[np.float32]:
    """[n, N]: each customer scored by a model that was trained up to the window's end on all but that customer's fold of it."""
    fold = np.random.default_rng(seed).permutation(len(split.customers)) % FOLDS
    bought = window_purchases(benchmark, split)
    names = np.array(split.customers)
    parts = []
    for number in range(FOLDS):
        told = bought.filter(~pl.col("customerID").is_in(names[fold == number].tolist()))
        known = pl.concat([split.training, told]).sort("customerID", "day", "ISIN")
        later = replace(split, training=known, time_point=split.test_end + dt.timedelta(days=1))
        folder = scratch / f"told {number}"
        parts.append(scorer(benchmark.write_training_set(later, folder / "histories"), later, folder / "model"))
    return np.asarray(np.stack(parts)[fold, np.arange(len(names))], np.float32)


def window_purchases(benchmark: FarTransBenchmark, split: Split) -> pl.DataFrame:
    """customerID, ISIN, day of the window's test pairs; where no day is known, the window's middle."""
    middle = split.time_point + (split.test_end - split.time_point) / 2
    dated = split.relevant.join(benchmark.first_purchases, on=["customerID", "ISIN"], how="left")
    inside = pl.when(pl.col("bought").is_between(split.time_point, split.test_end)).then(pl.col("bought"))
    return dated.select("customerID", "ISIN", day=pl.coalesce(inside, pl.lit(middle)))
