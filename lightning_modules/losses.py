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


def sampled_softmax(
    good: Tensor,
    bad: Tensor,
    weights: Tensor,
    log_expected: Tensor,
    excluded: Tensor | None = None,
    good_log_expected: Tensor | None = None,
) -> Tensor:
    """Weighted mean of -log softmax over the bought item and K drawn ones, corrected for how they were drawn.

    A drawn item stands for 1 / (expected number of times it is drawn) items like it, so that the sum over the draws
    estimates the sum over the catalogue: its score is lowered by the log of that number.

    Args:
        good: [B] scores of what was bought; bad: [B, K] scores of the drawn items.
        weights: [B], 0 leaves a row out. All 0: the loss is 0.
        log_expected: [K] or [B, K], log of how often each drawn item is drawn on average (K times its probability).
        excluded: [B, K] bool, True leaves a drawn item out (it is the target, or the customer owns it).
        good_log_expected: [B], the same for the target, where it too is there only because it was drawn (in-batch
            negatives); None: it is always there, and needs no correction.

    Sources: Bengio and Senecal 2008, https://doi.org/10.1109/TNN.2007.912312; Yi et al. 2019,
    https://doi.org/10.1145/3298689.3346996
    """
    corrected = bad - log_expected
    if excluded is not None:
        corrected = corrected.masked_fill(excluded, torch.finfo(bad.dtype).min)
    first = good if good_log_expected is None else good - good_log_expected
    logits = torch.cat([first[:, None], corrected], dim=1)
    return _weighted_mean(torch.logsumexp(_kept(logits, weights), 1) - _kept(logits, weights)[:, 0], weights)


def gbce_power(negatives: int, n_items: int, calibration: float) -> float:
    """The power beta of gBCE: 1 at calibration 0 (plain binary cross-entropy), the sampling rate at calibration 1.

    Args:
        negatives: drawn per target; n_items: in the catalogue (more than 1); calibration: t in [0, 1].

    Source: Petrov and Macdonald 2023 (gSASRec), section 5, https://arxiv.org/abs/2308.07192
    """
    rate = min(negatives / (n_items - 1), 1.0)
    return rate * (calibration * (1 - 1 / rate) + 1 / rate)


def generalised_binary_cross_entropy(
    good: Tensor, bad: Tensor, weights: Tensor, power: float, excluded: Tensor | None = None
) -> Tensor:
    """Weighted mean of -(log sigmoid(good)^power + sum of log(1 - sigmoid(bad))) / (1 + K).

    A positive below power 1 counts less, which undoes the overconfidence that comes of seeing few negatives.

    Args:
        good: [B] scores of what was bought; bad: [B, K] scores of what was not.
        weights: [B], 0 leaves a row out. All 0: the loss is 0.
        power: beta in (0, 1], see ``gbce_power``.
        excluded: [B, K] bool, True leaves a drawn item out, of the sum and of K.

    Source: Petrov and Macdonald 2023 (gSASRec), section 5, https://arxiv.org/abs/2308.07192
    """
    kept = torch.ones_like(bad, dtype=torch.bool) if excluded is None else ~excluded
    negative = torch.where(kept, F.softplus(torch.where(kept, _kept(bad, weights), 0.0)), 0.0).sum(1)
    positive = -power * F.logsigmoid(_kept(good, weights))
    return _weighted_mean((positive + negative) / (1 + kept.sum(1)), weights)


def bayesian_personalised_ranking(good: Tensor, bad: Tensor, weights: Tensor, excluded: Tensor | None = None) -> Tensor:
    """Weighted mean of -log sigmoid(good - bad), averaged over the negatives of a row.

    Args:
        good: [B] scores of what was bought; bad: [B, K] scores of what was not.
        weights: [B], 0 leaves a row out. All 0: the loss is 0.
        excluded: [B, K] bool, True leaves a drawn item out; a row with none left has loss 0.

    Source: Rendle et al. 2009, https://arxiv.org/abs/1205.2618
    """
    kept = torch.ones_like(bad, dtype=torch.bool) if excluded is None else ~excluded
    difference = torch.where(kept, _kept(good[:, None] - bad, weights), 0.0)
    losses = torch.where(kept, -F.logsigmoid(difference), 0.0).sum(1) / kept.sum(1).clamp_min(1)
    return _weighted_mean(losses, weights)


def _kept(values: Tensor, weights: Tensor) -> Tensor:
    """Rows of weight 0 set to 0 before anything is computed from them: they must not bring their NaN along."""
    counted = weights > 0
    return torch.where(counted[:, None] if values.dim() > 1 else counted, values, 0.0)


def _weighted_mean(losses: Tensor, weights: Tensor) -> Tensor:
    return (losses * weights).sum() / weights.sum().clamp_min(torch.finfo(weights.dtype).tiny)
