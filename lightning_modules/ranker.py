"""What every model of the house can do."""

from __future__ import annotations

from typing import Literal, Protocol, runtime_checkable

from torch import Tensor

from lightning_modules.examples import TrainingBatch
from lightning_modules.histories import Histories, HistoryBatch


@runtime_checkable
class Ranker(Protocol):
    """Scores the whole catalogue for a batch of customers, learns from examples, and says where it looked."""

    examples: Literal["purchases", "sequences"]  # the shape of its training examples

    def prepare(self, histories: Histories, half_life_days: float | None) -> None:
        """Take feature scales and starting biases from a training set (once, before the first step)."""
        ...

    def loss(self, batch: TrainingBatch) -> Tensor:
        """Scalar training loss of one batch."""
        ...

    def score(self, batch: HistoryBatch) -> Tensor:
        """[B, N]: column j is item j + 1, higher is better; defined up to a constant per customer."""
        ...

    def attention(self, batch: HistoryBatch, candidates: Tensor) -> Tensor:
        """Candidates [B, K] (items 1..N) -> weights [B, K, L] over the history; sum 1, or 0 for an empty history."""
        ...
