"""Histories in a random order: what a model learns when it cannot know what was bought when.

Within a customer the purchases change days with each other: the days stay, what was bought (and for how much) moves. The
order depends on (seed, customer, day of the question, position) alone, so the same question always shows the same one,
whatever batch it comes in. What is asked for stays what it was, but for sequences, where every position is a question: there
a target moves with its purchase, and a position may have read what was bought after it.

Source: Klenitskiy et al. 2024, https://arxiv.org/abs/2408.12008
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lightning_modules.examples import TrainingBatch
from lightning_modules.histories import HistoryBatch
from lightning_modules.settings import TrainSettings

# Odd 64-bit constants of a multiplicative hash (splitmix64), as signed numbers.
SEED, CUSTOMER, DAY, PLACE = -7046029254386353131, -4658895280553007687, -7723592293110705685, 1442695040888963407
LAST = torch.iinfo(torch.int64).max


def random_order(batch: HistoryBatch, seed: int) -> Tensor:
    """[B, L] int64: the column whose purchase stands in each column; padding and hidden events stay where they are."""
    place = torch.arange(batch.items.shape[1], device=batch.items.device)
    key = seed * SEED % LAST + batch.customers[:, None] * CUSTOMER + batch.now[:, None] * DAY + place * PLACE
    for _ in range(2):
        key = (key ^ ((key >> 31) & 0x1FFFFFFFF)) * CUSTOMER
    # Real events in the order of their keys go to the real columns in theirs; the rest, equal and last, meets itself.
    last = torch.where(batch.mask, 0, 1)
    slots = torch.argsort(last, dim=1, stable=True)
    sources = torch.argsort(torch.where(batch.mask, key.clamp_max(LAST - 1), LAST), dim=1, stable=True)
    return torch.empty_like(slots).scatter_(1, slots, sources)


def shuffled(batch: HistoryBatch, seed: int) -> HistoryBatch:
    """The batch with each customer's purchases on each other's days."""
    order = random_order(batch, seed)
    return replace(batch, items=batch.items.gather(1, order), weights=batch.weights.gather(1, order))


def shown(settings: TrainSettings) -> Callable[[HistoryBatch], HistoryBatch]:
    """How a model of these settings gets to see a history: as it is, or shuffled by the fit's seed."""
    if settings.order == "shuffled":
        return lambda batch: shuffled(batch, settings.seed)
    return lambda batch: batch


class ShuffledExamples(Dataset[TrainingBatch]):
    """Training examples whose histories are shuffled; ``sequences``: each position's target moves with its purchase."""

    def __init__(self, examples: Dataset[TrainingBatch], seed: int, *, sequences: bool) -> None:
        self.examples = examples
        self.seed = seed
        self.sequences = sequences

    def __len__(self) -> int:
        length: int = len(self.examples)  # type: ignore[arg-type]
        return length

    def __getitem__(self, index: np.ndarray[Any, Any]) -> TrainingBatch:
        batch = self.examples[index]
        mixed = replace(batch, history=shuffled(batch.history, self.seed))
        if not self.sequences:
            return mixed
        order = random_order(batch.history, self.seed)
        return replace(mixed, targets=batch.targets.gather(1, order), weights=batch.weights.gather(1, order))
