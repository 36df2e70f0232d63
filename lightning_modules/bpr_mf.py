"""BPR-MF: a vector per customer and per item, fitted so that what was bought scores above what was not.

    score(u, c) = p_u . q_c + b_c          loss = -log sigmoid(score(u, bought) - score(u, not bought)) + ridge * |vectors|^2

A customer without a purchase has no vector: his scores are the items' biases. The model belongs to the customers it was
fitted on, and says nothing about which purchase speaks for a candidate.

Source: Rendle et al. 2009, https://arxiv.org/abs/1205.2618
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lightning_modules.examples import TrainingBatch, owned_columns
from lightning_modules.histories import Histories, HistoryBatch
from lightning_modules.losses import bayesian_personalised_ranking
from lightning_modules.ranker import Examples, no_attention
from lightning_modules.settings import ModelSpec

TRIES = 8
"""Draws per negative: the first that the customer does not own is taken, so one that owns nearly all may get none."""


class MatrixFactorisation(nn.Module):
    """Ranker of one vocabulary and of the customers of one training set."""

    examples: Examples = "purchases"

    def __init__(self, spec: ModelSpec, histories: Histories) -> None:
        super().__init__()
        self.spec = spec
        self.n_items = histories.n_items
        self.people = nn.Embedding(histories.n_customers, spec.dim)
        self.items = nn.Embedding(self.n_items, spec.dim)
        self.bias = nn.Parameter(torch.zeros(self.n_items))
        for table in (self.people, self.items):
            nn.init.normal_(table.weight, std=spec.dim**-0.5)

    def prepare(self, histories: Histories, half_life_days: float | None) -> None:
        with torch.no_grad():
            self.people.weight[(histories.lengths == 0).to(self.people.weight.device)] = 0.0

    def loss(self, batch: TrainingBatch) -> Tensor:
        owned = owned_columns(batch.owned, self.n_items)
        drawn = torch.randint(self.n_items, (len(owned), TRIES), device=owned.device)
        free = ~owned.gather(1, drawn)
        negatives = drawn.gather(1, free.int().argmax(1, keepdim=True))[:, 0]
        weights = torch.where(free.any(1), batch.weights, 0.0)
        person = self.people(batch.history.customers)  # [B, D]
        liked, other = self.items(batch.targets), self.items(negatives)
        good = (person * liked).sum(1) + self.bias[batch.targets]
        bad = (person * other).sum(1) + self.bias[negatives]
        size = (person.square() + liked.square() + other.square()).sum(1)
        counted = weights.sum().clamp_min(torch.finfo(weights.dtype).tiny)
        penalty = self.spec.bpr_ridge * (size * weights).sum() / counted
        return bayesian_personalised_ranking(good, bad[:, None], weights) + penalty

    def score(self, batch: HistoryBatch) -> Tensor:
        """[B, N]."""
        return self.people(batch.customers) @ self.items.weight.T + self.bias

    def attention(self, batch: HistoryBatch, candidates: Tensor) -> Tensor:
        """[B, K, L] of zeros: a customer is one vector, and no single event is looked at."""
        return no_attention(batch, candidates)
