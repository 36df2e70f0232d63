"""What every model of the house can do."""

from __future__ import annotations

from typing import Literal, Protocol, runtime_checkable

from torch import Tensor

from lightning_modules.examples import TrainingBatch
from lightning_modules.histories import Histories, HistoryBatch

Examples = Literal["purchases", "sequences", "anchors", "none"]


@runtime_checkable
class Ranker(Protocol):
    """Scores the whole catalogue for a batch of customers, learns from examples, and says where it looked."""

    @property
    def examples(self) -> Examples:
        """The shape of its training examples; "none": ``prepare`` is all the learning there is."""
        ...

    def prepare(self, histories: Histories, half_life_days: float | None) -> None:
        """Take feature scales and starting biases from a training set (once, before the first step).

        A closed-form model (``examples`` "none") computes all its weights here.
        """
        ...

    def loss(self, batch: TrainingBatch) -> Tensor:
        """Scalar training loss of one batch; never asked of a closed-form model."""
        ...

    def score(self, batch: HistoryBatch) -> Tensor:
        """[B, N]: column j is item j + 1, higher is better; defined up to a constant per customer."""
        ...

    def attention(self, batch: HistoryBatch, candidates: Tensor) -> Tensor:
        """Candidates [B, K] (items 1..N) -> weights [B, K, L] over the history; sum 1, or 0 where no event speaks for one."""
        ...


@runtime_checkable
class HeadedRanker(Protocol):
    """A ranker whose weights can be seen layer by layer and head by head."""

    @property
    def head_names(self) -> tuple[str, ...]:
        """[H]; a head may be a feature or a signal by which holdings speak."""
        ...

    def head_attention(self, batch: HistoryBatch, candidates: Tensor) -> Tensor:
        """Candidates [B, K] -> weights [B, K, layers, H, L] over the history; each sums to 1, or to 0 where no event speaks."""
        ...


@runtime_checkable
class FeatureRanker(Protocol):
    """A ranker that also says which features of a candidate spoke for it."""

    @property
    def feature_names(self) -> tuple[str, ...]:
        """[F] groups of features."""
        ...

    def feature_attention(self, batch: HistoryBatch, candidates: Tensor) -> Tensor:
        """Candidates [B, K] (items 1..N) -> weights [B, K, F] over ``feature_names``; sum 1, or 0 for an item without any."""
        ...

    def score(self, batch: HistoryBatch) -> Tensor:
        """[B, N], as of any ranker."""
        ...

    def score_without(self, batch: HistoryBatch, items: Tensor, features: Tensor) -> Tensor:
        """[B, N] where item ``items[b]`` (1..N) does not show customer b its feature ``features[b]`` (0..F - 1)."""
        ...


class ClosedForm:
    """The training half of a ranker that is computed, not trained."""

    examples: Examples = "none"

    def loss(self, batch: TrainingBatch) -> Tensor:
        raise TypeError(f"{type(self).__name__} is computed in closed form and has no training loss")


def no_attention(batch: HistoryBatch, candidates: Tensor) -> Tensor:
    """[B, K, L] of zeros: what a ranker answers that does not look at single events of a history."""
    return batch.weights.new_zeros(*candidates.shape, batch.items.shape[1])
