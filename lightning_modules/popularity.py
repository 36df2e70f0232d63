"""Popularity: the baseline that every model must beat. Of all time, or of the last days before the cut."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from lightning_modules.examples import target_weights
from lightning_modules.histories import Histories, HistoryBatch
from lightning_modules.ranker import ClosedForm, no_attention
from lightning_modules.settings import ModelSpec


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


class Popularity(ClosedForm, nn.Module):
    """The same scores for everybody: the number of buyers; of the last ``spec.recent_days`` days for recent_popularity."""

    buyers: Tensor

    def __init__(self, spec: ModelSpec, histories: Histories) -> None:
        super().__init__()
        self.spec = spec
        self.register_buffer("buyers", torch.zeros(histories.n_items))

    def prepare(self, histories: Histories, half_life_days: float | None) -> None:
        recent = self.spec.kind == "recent_popularity"
        since = histories.cut_day - self.spec.recent_days + 1 if recent else None
        self.buyers.copy_(popularity_scores(histories, since_day=since))

    def score(self, batch: HistoryBatch) -> Tensor:
        """[B, N]."""
        return self.buyers.expand(len(batch.customers), -1)

    def attention(self, batch: HistoryBatch, candidates: Tensor) -> Tensor:
        """[B, K, L] of zeros: no event of a history plays a part."""
        return no_attention(batch, candidates)
