"""Lists of ten and what they are worth, by the benchmark's own definitions, and paired differences with their intervals.

Everything here takes tables and scores; how a model came by its scores is not its business.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from flows.bench.far_trans_data import Split
from flows.dial import K

DRAWS = 1000


def list_metrics(lists: npt.NDArray[np.int64], assets: list[str], split: Split) -> pl.DataFrame:
    """One row per eligible customer: customer, ndcg, recall, roi, known (share of listed assets with a known return).

    nDCG@10 = sum over ranks i with a relevant asset of 1/log2(i+1), over its value for a perfect list; 0 where nothing
    is relevant. ROI@10 = mean monthly return over listed assets with a known one; null where none is known.

    Args:
        lists: [n, K] columns into ``assets``, -1 = empty place, in the order of ``split.customers``.
    """
    row = {customer: number for number, customer in enumerate(split.customers)}
    column = {asset: number for number, asset in enumerate(assets)}
    relevant = np.zeros((len(row), len(assets) + 1), bool)  # the last column stands for an empty place
    for customer, asset in split.relevant.iter_rows():
        relevant[row[customer], column[asset]] = True
    hits = np.take_along_axis(relevant, lists, 1)
    n_relevant = relevant.sum(1)
    discount = 1 / np.log2(np.arange(2, K + 2))
    ideal = np.cumsum(discount)[np.clip(n_relevant, 1, K) - 1]
    returns = np.array([split.returns.get(asset, np.nan) for asset in assets] + [np.nan])[lists]
    known = np.isfinite(returns)
    counted = known.sum(1)
    roi = np.where(counted > 0, np.where(known, returns, 0).sum(1) / np.maximum(counted, 1), np.nan)
    return pl.DataFrame(
        {
            "customer": list(split.customers),
            "ndcg": np.where(n_relevant > 0, (hits * discount).sum(1) / ideal, 0.0),
            "recall": np.where(n_relevant > 0, hits.sum(1) / np.maximum(n_relevant, 1), 0.0),
            "roi": pl.Series(roi, nan_to_null=True),
            "known": counted / np.maximum((lists >= 0).sum(1), 1),
        }
    )


def per_split(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows (model, split, customer, ...) -> mean per model and split over its eligible customers."""
    return (
        rows.group_by("model", "split", maintain_order=True)
        .agg(pl.len().alias("customers"), pl.col("ndcg", "recall", "roi", "known").mean())
        .sort("model", "split")
    )


def paired_difference(rows: pl.DataFrame, model: str, other: str, seed: int = 0) -> tuple[float, float, float]:
    """Mean over splits of the mean nDCG@10 difference per customer, with a 95 % interval.

    The bootstrap draws customers, each with all their splits: neighbouring splits share customers and days, so neither
    splits nor (split, customer) pairs are independent.
    """
    wide = (
        rows.filter(pl.col("model") == model)
        .join(rows.filter(pl.col("model") == other), on=["split", "customer"], suffix="_other")
        .select("split", "customer", difference=pl.col("ndcg") - pl.col("ndcg_other"))
    )
    splits, split = np.unique(wide["split"].to_numpy(), return_inverse=True)
    customers, customer = np.unique(wide["customer"].to_numpy(), return_inverse=True)
    values = np.zeros((len(customers), len(splits)))
    there = np.zeros_like(values)
    values[customer, split] = wide["difference"].to_numpy()
    there[customer, split] = 1.0
    generator = np.random.default_rng(seed)
    draws = np.empty(DRAWS)
    for number in range(DRAWS):
        times = np.bincount(generator.integers(0, len(customers), len(customers)), minlength=len(customers))
        draws[number] = ((times @ values) / np.maximum(times @ there, 1.0)).mean()
    low, high = np.quantile(draws, [0.025, 0.975])
    return float((values.sum(0) / there.sum(0)).mean()), float(low), float(high)
