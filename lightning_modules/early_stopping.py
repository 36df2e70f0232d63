"""Early stopping on the last days before the cut: how many epochs are enough is asked of time, not of the test.

The slice is its own training set, cut ``validation_days`` earlier, and the first purchases of the days between the two
cuts. A model is fitted on the earlier set and asked for those purchases after every epoch; when NDCG@10 has not
grown for ``patience`` epochs, or the epochs are over, the best epoch is known. The model that is kept is then fitted
anew on everything up to the cut, along the same schedule, and stops after that epoch: the newest days, which say most
about the next ones, are not lost to validation. Since the earlier set is built as of its own cut, none of its features
knows anything of the days that it is asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from data_contracts.errors import TrainingError
from lightning_modules.evaluation import rank_tables
from lightning_modules.histories import Histories, HistoryBatch
from lightning_modules.ranker import Ranker

CUTOFF = 10
MOST_CUSTOMERS = 2000
"""Customers asked after each epoch; of more, a seeded draw."""

Integers = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Validation:
    """The slice: a training set cut earlier, and what was first bought after its cut (parallel arrays, one entry a pair)."""

    histories_dir: Path
    customers: Integers  # row in the earlier set
    items: Integers  # 1..N of the earlier set

    def digest(self) -> str:
        """SHA-256 of the questions."""
        pairs = np.stack([np.asarray(self.customers, np.int64), np.asarray(self.items, np.int64)])
        return hashlib.sha256(pairs.tobytes()).hexdigest()


def sampled(validation: Validation, seed: int) -> Validation:
    """The slice with at most ``MOST_CUSTOMERS`` customers."""
    asked = np.unique(validation.customers)
    if len(asked) == 0:
        raise TrainingError(
            "nobody bought anything new in the validation slice: there is nothing to stop early on",
            remedy="choose more train.validation_days, or leave it unset",
        )
    if len(asked) <= MOST_CUSTOMERS:
        return validation
    chosen = np.random.default_rng(seed).choice(asked, MOST_CUSTOMERS, replace=False)
    kept = np.isin(validation.customers, chosen)
    return Validation(validation.histories_dir, validation.customers[kept], validation.items[kept])


def slice_ndcg(
    model: Ranker,
    histories: Histories,
    validation: Validation,
    max_length: int | None,
    shown: Callable[[HistoryBatch], HistoryBatch] = lambda batch: batch,
) -> float:
    """Mean NDCG@10 over the slice's customers: full catalogue less what they bought before, no sampled negatives.

    ``shown``: how the model gets to see a batch (see :func:`lightning_modules.shuffled.shown`).
    """
    assert isinstance(model, nn.Module)
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            ranks, _ = rank_tables(
                lambda batch: model.score(shown(batch.to(device))),
                histories,
                validation.customers,
                validation.items,
                k=CUTOFF,
                max_length=max_length,
            )
    finally:
        model.train(training)
    place = ranks["rank"].to_numpy()
    customers, row = np.unique(ranks["customer"].to_numpy(), return_inverse=True)
    gains = np.bincount(row, np.where(place <= CUTOFF, 1 / np.log2(place + 1.0), 0.0), minlength=len(customers))
    relevant = np.bincount(row, minlength=len(customers))
    ideal = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, CUTOFF + 2)))])
    return float((gains / ideal[np.minimum(relevant, CUTOFF)]).mean())


def best_epoch(values: list[float]) -> int:
    """The first epoch (from 0) with the greatest value."""
    return values.index(max(values))


def is_over(values: list[float], patience: int) -> bool:
    """Whether the last ``patience`` epochs brought nothing better than the best before them."""
    return bool(values) and len(values) - 1 - best_epoch(values) >= patience
