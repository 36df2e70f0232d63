"""Item-kNN: a candidate is as good as its likeness to what the customer holds, over its nearest neighbours only.

Likeness is the cosine of the items' buyers, shrunk where few buyers stand behind it::

    W[i, c] = both(i, c) / (sqrt(buyers(i) * buyers(c)) + shrinkage)     for the k items i most like c, 0 otherwise

Sources: Sarwar et al. 2001, https://doi.org/10.1145/371920.372071; shrinkage after Bell and Koren 2007,
https://doi.org/10.1109/ICDM.2007.90
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from torch import Tensor

from lightning_modules.histories import Histories, HistoryBatch
from lightning_modules.interactions import interactions, latest_of_each
from lightning_modules.item_to_item import ItemToItem


class ItemKNN(ItemToItem):
    """Every distinct item of the whole history counts once."""

    def matrix(self, histories: Histories) -> Any:
        bought = interactions(histories)
        both = (bought.T @ bought).tocoo()
        buyers = np.asarray(bought.sum(axis=0)).ravel()  # [N]
        off = both.row != both.col
        item, candidate, count = both.row[off].astype(np.int64), both.col[off].astype(np.int64), both.data[off]
        likeness = count / (np.sqrt(buyers[item] * buyers[candidate]) + self.spec.knn_shrinkage)
        # Nearest first within each candidate, ties by item.
        order = np.lexsort((item, -likeness, candidate))
        item, candidate, likeness = item[order], candidate[order], likeness[order]
        counts = np.bincount(candidate, minlength=self.n_items)
        place = np.arange(len(candidate)) - (np.cumsum(counts) - counts)[candidate]
        near = place < self.spec.knn_neighbours
        return sparse.csr_matrix((likeness[near], (item[near], candidate[near])), shape=(self.n_items, self.n_items))

    def event_weights(self, batch: HistoryBatch) -> Tensor:
        return latest_of_each(batch.items).float()
