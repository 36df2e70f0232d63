"""Scoring a history again with some of its events erased: what every explanation by erasure is made of.

Many questions share their answer (erasing one holding of two is erasing half of them), so each distinct remaining history
of a customer is scored once, and short histories are scored together.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lightning_modules.histories import HistoryBatch
from lightning_modules.ranker import Ranker

ROWS = 512
"""Histories scored together."""


def only(batch: HistoryBatch, kept: Tensor) -> HistoryBatch:
    """The batch with the events ``kept`` [B, L] alone, closed up so that padding is on the right again.

    As wide as the longest history that is left, and at least 1.
    """
    kept = kept & batch.mask
    lengths = kept.sum(1)
    order = torch.argsort((~kept).to(torch.uint8), dim=1, stable=True)[:, : max(int(lengths.max()) if len(lengths) else 1, 1)]
    real = torch.gather(kept, 1, order)

    def close_up(values: Tensor) -> Tensor:
        return torch.gather(values, 1, order) * real

    return HistoryBatch(
        customers=batch.customers,
        items=close_up(batch.items),
        days=close_up(batch.days),
        weights=close_up(batch.weights),
        lengths=lengths,
        features=batch.features,
        now=batch.now,
    )


def chosen_rows(batch: HistoryBatch, row: Tensor) -> HistoryBatch:
    """Rows ``row`` [P] of the batch, in that order."""
    return HistoryBatch(
        batch.customers[row],
        batch.items[row],
        batch.days[row],
        batch.weights[row],
        batch.lengths[row],
        batch.features[row],
        batch.now[row],
    )


def log_probabilities(scores: Tensor, candidates: Tensor) -> Tensor:
    """Scores [B, N] and candidates [B, K] (items 1..N; 0: none) -> [B, K], log softmax over the catalogue.

    Scores are defined up to a constant per customer; the log-probability is not.
    """
    return torch.log_softmax(scores.float(), 1).gather(1, (candidates - 1).clamp_min(0))


def rescored(model: Ranker, batch: HistoryBatch, candidates: Tensor, row: Tensor, kept: Tensor) -> Tensor:
    """What each candidate's log-probability becomes when a customer keeps some events only.

    Args:
        candidates: [B, K], items 1..N, 0 = none.
        row: [P] rows of the batch; kept: [P, L] bool, the events that are left.

    Returns:
        [P, K] float32: of the candidates of the row, in nats.
    """
    if len(row) == 0:
        return torch.zeros(0, candidates.shape[1])
    kept = kept & batch.mask[row]
    # The row's number in four bytes, then its events as bits: one key a question.
    number = row.to(torch.int32).numpy().reshape(-1, 1).view(np.uint8).reshape(len(row), 4)
    keys = np.concatenate([number, np.packbits(kept.numpy(), axis=1)], axis=1)
    whole = np.ascontiguousarray(keys).view(np.dtype((np.void, keys.shape[1])))[:, 0]
    _, first, answer = np.unique(whole, return_index=True, return_inverse=True)
    first_of = torch.from_numpy(first)
    order = torch.argsort(kept[first_of].sum(1), stable=True)
    found = torch.empty(len(first_of), candidates.shape[1])
    for part in order.split(ROWS):
        question = first_of[part]
        history = only(chosen_rows(batch, row[question]), kept[question])
        with torch.no_grad():
            found[part] = log_probabilities(model.score(history), candidates[row[question]])
    return found[torch.from_numpy(answer.reshape(-1))]
