"""What a model that scores by inner product is trained on, apart from the model: its questions, and the loss over them.

The full softmax needs every item for every question; the other losses draw negatives once a batch and share them among
its questions, so that a step costs [T, K] scores instead of [T, N].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

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


def draw_chances(histories: Histories, power: float) -> Tensor:
    """[N] float32, sum 1: the chance of each item to be drawn as a negative, in proportion to (1 + buyers)^power."""
    weights = (popularity_scores(histories) + 1) ** power
    return weights / weights.sum()


def sampled_loss(questions: Questions, settings: TrainSettings, chances: Tensor) -> Tensor:
    """The loss that ``settings.loss`` names over ``settings.negatives`` items drawn by ``chances`` [N], with replacement.

    A drawn item that is a question's target, or that its customer owns, is left out for that question.
    """
    drawn = torch.multinomial(chances, settings.negatives, replacement=True)  # [K]
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
        expected = (settings.negatives * chances[drawn]).log()
        return sampled_softmax(good, bad, questions.weights, expected, excluded)
    if settings.loss == "gbce":
        power = gbce_power(settings.negatives, len(table), settings.gbce_calibration)
        return generalised_binary_cross_entropy(good, bad, questions.weights, power, excluded)
    return bayesian_personalised_ranking(good, bad, questions.weights, excluded)
