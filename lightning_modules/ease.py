"""EASE: the linear item-to-item model with zero diagonal, solved in closed form.

    P = (X'X + ridge I)^-1,   W[i, c] = -P[i, c] / P[c, c],   W[i, i] = 0,   score(u, .) = x(u) W

x(u) is 1 at every distinct item of the whole history. A score is exactly the sum of W[i, c] over what the customer
holds; ``attention`` is the share of each positive term (a holding can also speak against a candidate: its share is 0).

Source: Steck 2019, equation 8, https://arxiv.org/abs/1905.03375
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from data_contracts.errors import TrainingError
from lightning_modules.examples import owned_columns
from lightning_modules.histories import Histories, HistoryBatch
from lightning_modules.interactions import interactions, latest_of_each, shares
from lightning_modules.ranker import ClosedForm
from lightning_modules.settings import ModelSpec

MOST_ITEMS = 25_000
"""W is dense: at this size 2.5 GB, and its inverse takes minutes."""
DOUBLE_ITEMS = 10_000
"""Up to here the inverse is taken in double precision; above it would need more than 10 GB."""


class EASE(ClosedForm, nn.Module):
    """Ranker of one vocabulary of at most ``MOST_ITEMS`` items."""

    weights: Tensor

    def __init__(self, spec: ModelSpec, histories: Histories) -> None:
        super().__init__()
        if histories.n_items > MOST_ITEMS:
            raise TrainingError(
                f"ease needs a dense table of all pairs of items: {histories.n_items} are more than {MOST_ITEMS}",
                remedy="name item_knn or markov instead, whose tables are sparse",
            )
        self.spec = spec
        self.n_items = histories.n_items
        self.register_buffer("weights", torch.zeros(self.n_items, self.n_items))

    def prepare(self, histories: Histories, half_life_days: float | None) -> None:
        bought = interactions(histories)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        precise = torch.float64 if self.n_items <= DOUBLE_ITEMS else torch.float32
        gram = torch.from_numpy((bought.T @ bought).toarray()).to(device, precise)
        gram.diagonal().add_(self.spec.ease_ridge)
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(gram))
        weights = inverse.div_(-inverse.diagonal().clone())  # column c by -P[c, c]
        weights.fill_diagonal_(0.0)
        self.weights.copy_(weights)

    def score(self, batch: HistoryBatch) -> Tensor:
        """[B, N]."""
        return owned_columns(batch.items, self.n_items).to(self.weights.dtype) @ self.weights

    def attention(self, batch: HistoryBatch, candidates: Tensor) -> Tensor:
        """[B, K, L], each holding's share of what speaks for a candidate; a repeated purchase counts at its last event."""
        counted = latest_of_each(batch.items)  # [B, L]
        held, asked = (batch.items - 1).clamp_min(0), (candidates - 1).clamp_min(0)
        terms = self.weights[held[:, None, :], asked[:, :, None]]  # [B, K, L]
        return shares(torch.where(counted[:, None, :] & (candidates > 0)[:, :, None], terms, 0.0))
