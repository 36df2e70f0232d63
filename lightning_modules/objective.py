"""What a model that scores by inner product is trained on, apart from the model: its questions, and the loss over them.

The full softmax needs every item for every question; the other losses draw negatives once a batch and share them among
its questions, so that a step costs [T, K] scores instead of [T, N].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from lightning_modules.chunked_softmax import chunked_cross_entropy
from lightning_modules.examples import TrainingBatch
from lightning_modules.histories import Histories
from lightning_modules.losses import (
    bayesian_personalised_ranking,
    gbce_power,
    generalised_binary_cross_entropy,
    sampled_softmax,
)
from lightning_modules.popularity import popularity_scores
from lightning_modules.settings import TrainSettings


@dataclass(frozen=True)
class Questions:
    """T questions to one item table: the score of item j + 1 is ``hidden @ table[j] + bias[j]``."""

    hidden: Tensor  # [T, D]
    table: Tensor  # [N, D]
    bias: Tensor | None  # [N]
    targets: Tensor  # [T] int64, columns
    weights: Tensor  # [T] float, above 0
    owner: Tensor  # [T] int64, line of ``owned``
    owned: Tensor | None  # [B, N] bool, no candidates; None: all are


@runtime_checkable
class Asks(Protocol):
    """A ranker that can be trained with any of the losses."""

    def questions(self, batch: TrainingBatch) -> Questions:
        """The questions of one training batch."""
        ...


def full_softmax(questions: Questions) -> Tensor:
    """Cross-entropy over the whole catalogue, in chunks, in the precision of ``hidden``."""
    return chunked_cross_entropy(
        questions.hidden,
        questions.table,
        questions.targets,
        questions.weights,
        bias=questions.bias,
        excluded=questions.owned,
        owner=questions.owner,
    )


class Negatives(nn.Module):
    """Draws items to stand for all that was not bought."""

    chances: Tensor
    reached: Tensor

    def __init__(self, chances: Tensor) -> None:
        """``chances`` [N], sum 1."""
        super().__init__()
        self.register_buffer("chances", chances.float(), persistent=False)
        # A search in the running total, not torch.multinomial, which has no deterministic form on a GPU.
        self.register_buffer("reached", chances.double().cumsum(0).float(), persistent=False)

    @classmethod
    def of(cls, histories: Histories, power: float) -> Negatives:
        """Each item in proportion to (1 + buyers)^power."""
        weights = (popularity_scores(histories) + 1).double() ** power
        return cls(weights / weights.sum())

    def draw(self, count: int) -> Tensor:
        """[count] int64 columns, with replacement."""
        points = torch.rand(count, device=self.reached.device)
        return torch.searchsorted(self.reached, points, right=True).clamp_max(len(self.reached) - 1)


def sampled_loss(questions: Questions, settings: TrainSettings, negatives: Negatives) -> Tensor:
    """The loss that ``settings.loss`` names over ``settings.negatives`` drawn items.

    A drawn item that is a question's target, or that its customer owns, is left out for that question.
    """
    drawn = negatives.draw(settings.negatives)  # [K]
    hidden, table = questions.hidden.float(), questions.table.float()
    good = (hidden * table.index_select(0, questions.targets)).sum(1)  # [T]
    bad = hidden @ table.index_select(0, drawn).T  # [T, K]
    if questions.bias is not None:
        good = good + questions.bias[questions.targets]
        bad = bad + questions.bias[drawn]
    excluded = drawn == questions.targets[:, None]
    if questions.owned is not None:
        excluded = excluded | questions.owned[:, drawn].index_select(0, questions.owner)
    if settings.loss == "sampled_softmax":
        expected = (settings.negatives * negatives.chances[drawn]).log()
        return sampled_softmax(good, bad, questions.weights, expected, excluded)
    if settings.loss == "gbce":
        power = gbce_power(settings.negatives, len(table), settings.gbce_calibration)
        return generalised_binary_cross_entropy(good, bad, questions.weights, power, excluded)
    return bayesian_personalised_ranking(good, bad, questions.weights, excluded)
