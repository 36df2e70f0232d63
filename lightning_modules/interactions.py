"""Who bought what at all, as a sparse matrix of customers by items: what the closed-form models are computed from."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from lightning_modules.histories import Histories


def interactions(histories: Histories) -> Any:
    """CSR [C, N] of float64: 1 where the customer bought item column + 1, however often."""
    items = histories.items.numpy().astype(np.int64)
    owner = np.repeat(np.arange(histories.n_customers, dtype=np.int64), histories.lengths.numpy())
    matrix = sparse.coo_matrix(
        (np.ones(len(items)), (owner, items - 1)), shape=(histories.n_customers, histories.n_items)
    ).tocsr()
    matrix.data[:] = 1.0
    return matrix


def latest_event(items: Tensor) -> Tensor:
    """Items [B, L] (0 = padding) -> int64 [B, L]: where the last event of the same item stands."""
    place = torch.arange(items.shape[1], device=items.device).expand_as(items)
    width = int(items.max()) + 1 if items.numel() else 1
    last = torch.full((len(items), width), -1, dtype=torch.int64, device=items.device)
    return last.scatter_reduce(1, items, place, "amax").gather(1, items)


def latest_of_each(items: Tensor) -> Tensor:
    """Items [B, L] (0 = padding) -> bool [B, L]: True at the last event of each distinct item."""
    place = torch.arange(items.shape[1], device=items.device).expand_as(items)
    return (items > 0) & (latest_event(items) == place)


def shares(contributions: Tensor) -> Tensor:
    """Contributions [..., L] of single events to a score -> the positive ones' shares, sum 1 (0 where none is positive)."""
    positive = contributions.clamp_min(0)
    total = positive.sum(-1, keepdim=True)
    return positive / torch.where(total > 0, total, 1)
