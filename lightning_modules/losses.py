"""Losses as pure functions with an explicit mask."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def softmax_cross_entropy(scores: Tensor, targets: Tensor, weights: Tensor, excluded: Tensor | None = None) -> Tensor:
    """Weighted mean of -log softmax over the full catalogue.

    Args:
        scores: [B, N], column j is item j + 1.
        targets: [B] int64, column of the item that was bought.
        weights: [B] float, 0 leaves a row out; their sum must be positive.
        excluded: [B, N] bool, True where an item is not a candidate. A target is always one, even if marked.

    Returns:
        Scalar: sum of weight * loss over sum of weights.
    """
    if excluded is not None:
        candidates = excluded.scatter(1, targets[:, None], False)
        # Finite, so that a row whose other candidates are all excluded has loss 0 and no NaN gradient.
        scores = scores.masked_fill(candidates, torch.finfo(scores.dtype).min)
    losses = F.cross_entropy(scores, targets, reduction="none")
    # where, not only *: a row of weight 0 must not bring its NaN along.
    losses = torch.where(weights > 0, losses, torch.zeros((), dtype=losses.dtype, device=losses.device))
    return (losses * weights).sum() / weights.sum()


def bayesian_personalised_ranking(good: Tensor, bad: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean of -log sigmoid(good - bad), averaged over the negatives of a row.

    Args:
        good: [B] scores of what was bought; bad: [B, K] scores of what was not.
        weights: [B], 0 leaves a row out. All 0: the loss is 0.

    Source: Rendle et al. 2009, https://arxiv.org/abs/1205.2618
    """
    counted = (weights > 0)[:, None]
    difference = torch.where(counted, good[:, None] - bad, 0.0)
    losses = -F.logsigmoid(difference).mean(1)
    return (losses * weights).sum() / weights.sum().clamp_min(torch.finfo(weights.dtype).tiny)
