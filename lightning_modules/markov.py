"""Decayed co-visit Markov: what was bought after what the customer bought, the nearer the heavier.

With a step decay g, a half-life h in days (none: days do not matter) and S steps::

    T[i, c] = sum over first purchases c at place b, events i at a = b - S .. b - 1:  g^(b - a - 1) * 2^(-(day b - day a) / h)
    W[i, c] = T[i, c] / sum over c of T[i, c]
    score(u, c) = sum over the last S events l:  g^(events after l) * 2^(-(asked on - day l) / h) * W[i(l), c]

Events of one day stand in the order of the training set. With S = 1 it is the first-order Markov chain.
Source: item-to-item co-visitation as in Davidson et al. 2010, https://doi.org/10.1145/1864708.1864770, with the chain
of Rendle et al. 2010 (FPMC), https://doi.org/10.1145/1772690.1772773, as its non-personalised limit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from lightning_modules.histories import Histories, HistoryBatch
from lightning_modules.item_to_item import ItemToItem


class DecayedMarkov(ItemToItem):
    """Transitions counted over all histories; a customer is his last ``markov_steps`` events."""

    def matrix(self, histories: Histories) -> Any:
        spec, size = self.spec, histories.n_items
        items = histories.items.numpy().astype(np.int64) - 1
        days = histories.days.numpy().astype(np.int64)
        first = histories.first.numpy().astype(bool)
        owner = np.repeat(np.arange(histories.n_customers, dtype=np.int64), histories.lengths.numpy())
        total = sparse.csr_matrix((size, size))
        for gap in range(1, spec.markov_steps + 1):
            pair = (owner[gap:] == owner[:-gap]) & first[gap:] & (items[gap:] != items[:-gap])
            if not pair.any():
                continue
            weight = np.full(int(pair.sum()), spec.markov_step_decay ** (gap - 1))
            if spec.markov_half_life_days is not None:
                weight *= np.exp2(-(days[gap:] - days[:-gap])[pair] / spec.markov_half_life_days)
            total = total + sparse.csr_matrix((weight, (items[:-gap][pair], items[gap:][pair])), shape=(size, size))
        leaving = np.asarray(total.sum(axis=1)).ravel()
        return sparse.diags(np.divide(1.0, leaving, out=np.zeros(size), where=leaving > 0)) @ total

    def event_weights(self, batch: HistoryBatch) -> Tensor:
        spec = self.spec
        after = batch.lengths[:, None] - 1 - torch.arange(batch.items.shape[1], device=batch.items.device)  # [B, L]
        weights = torch.pow(spec.markov_step_decay, after.clamp_min(0).float())
        if spec.markov_half_life_days is not None:
            weights = weights * torch.exp2(-(batch.now[:, None] - batch.days).float() / spec.markov_half_life_days)
        return torch.where(batch.mask & (after < spec.markov_steps), weights, 0.0)
