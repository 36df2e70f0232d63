"""Popularity: the baseline that every model must beat."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lightning_modules.examples import target_weights
from lightning_modules.histories import Histories


def popularity_scores(histories: Histories, *, since_day: int | None = None) -> Tensor:
    """[N] float32: how many distinct customers bought item 1, 2, .. N (on or after day ``since_day``)."""
    items = histories.items.numpy().astype(np.int64)
    owner = np.repeat(np.arange(histories.n_customers, dtype=np.int64), histories.lengths.numpy())
    if since_day is not None:
        recent = histories.days.numpy() >= since_day
        items, owner = items[recent], owner[recent]
    pairs = np.unique(owner * (histories.n_items + 1) + items)
    counts = np.bincount(pairs % (histories.n_items + 1), minlength=histories.n_items + 1)
    return torch.from_numpy(counts[1:].astype(np.float32))


def log_popularity(histories: Histories, half_life_days: float | None) -> Tensor:
    """[N] float32: log of recency-weighted first purchases, smoothed: where an item's bias starts."""
    counts = torch.zeros(histories.n_items + 1, dtype=torch.float64)
    weights = target_weights(histories, half_life_days).double()
    counts += torch.bincount(histories.items.long(), weights, minlength=histories.n_items + 1)
    smoothed = counts[1:] + max(float(counts.sum()), 1.0) / (20.0 * histories.n_items)
    return torch.log(smoothed / smoothed.mean()).float()
