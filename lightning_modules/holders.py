"""Who holds an item: a capped sample of its most recent buyers, and what each of them bought."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lightning_modules.histories import Histories

# With one holder, hiding the customer himself would empty the list exactly when he is that holder: the
# model could read the answer from the emptiness. So an item is asked about only from two holders on.
FEWEST = 2


@dataclass(frozen=True)
class Holders:
    """n items that have enough holders, their K most recent ones, and those U customers' purchases."""

    columns: Tensor  # [n] int64, column (item - 1) of each item that is asked about
    slots: Tensor  # [n, K] int64, index into ``customers``; 0 where there is no further holder
    real: Tensor  # [n, K] bool
    customers: Tensor  # [U] int64, row of the customer
    items: Tensor  # [V] int64, the customers' distinct items, one after another
    starts: Tensor  # [U] int64, where each customer's items start
    features: Tensor  # [U, G] float32, the customers' features


def most_recent_holders(histories: Histories, cap: int) -> Holders:
    """The ``cap`` customers per item whose first purchase of it is most recent (ties: lower row first)."""
    first = histories.first.numpy().astype(bool)
    owner = np.repeat(np.arange(histories.n_customers, dtype=np.int64), histories.lengths.numpy())[first]
    items = histories.items.numpy()[first].astype(np.int64)
    days = histories.days.numpy()[first].astype(np.int64)
    order = np.lexsort((owner, -days, items))
    owner, items = owner[order], items[order]
    counts = np.bincount(items, minlength=histories.n_items + 1)
    rank = np.arange(len(items)) - (np.cumsum(counts) - counts)[items]
    asked = np.flatnonzero(counts >= FEWEST) if cap >= FEWEST else np.zeros(0, dtype=np.int64)
    row_of = np.full(histories.n_items + 1, -1, dtype=np.int64)
    row_of[asked] = np.arange(len(asked))
    kept = (rank < cap) & (row_of[items] >= 0)
    customers, slot = np.unique(owner[kept], return_inverse=True)
    slots = np.zeros((len(asked), cap), dtype=np.int64)
    real = np.zeros((len(asked), cap), dtype=bool)
    slots[row_of[items[kept]], rank[kept]] = slot
    real[row_of[items[kept]], rank[kept]] = True
    # Each holder's distinct items are his first purchases.
    first_order = np.argsort(owner, kind="stable")
    by_owner, bought = owner[first_order], items[first_order]
    member = np.isin(by_owner, customers)
    starts = np.searchsorted(by_owner[member], customers)
    rows = torch.from_numpy(customers)
    return Holders(
        columns=torch.from_numpy(asked - 1),
        slots=torch.from_numpy(slots),
        real=torch.from_numpy(real),
        customers=rows,
        items=torch.from_numpy(bought[member]),
        starts=torch.from_numpy(starts.astype(np.int64)),
        features=histories.customer_features[rows].clone(),
    )
