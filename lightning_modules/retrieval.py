"""The retrieval stage: a few hundred candidates per customer out of a large catalogue, before attention scores them.

Three sources, each a ranking of the catalogue: what was bought close to what the customer bought (co-visits), what lies
in the direction of his holdings (dot product of the model's own vectors), and what most customers bought (popularity).
The union takes their items in turn: every source's first, every source's second, and so on, until the list is full.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from lightning_modules.histories import Histories, HistoryBatch
from lightning_modules.popularity import log_popularity

STEPS = 10  # a co-visit joins events at most this many events apart, and counts 1 / distance
NEIGHBOURS = 64  # strongest co-visits kept per item


class Retrieval(nn.Module):
    """Candidate lists; everything but the vectors comes from the training set, so there is nothing to learn or store."""

    neighbours: Tensor
    strengths: Tensor
    popularity: Tensor

    def __init__(self, histories: Histories, count: int) -> None:
        super().__init__()
        self.count = min(count, histories.n_items)
        neighbours, strengths = co_visits(histories)
        self.register_buffer("neighbours", neighbours, persistent=False)
        self.register_buffer("strengths", strengths, persistent=False)
        self.register_buffer("popularity", log_popularity(histories, 90.0), persistent=False)

    @torch.no_grad()
    def forward(self, batch: HistoryBatch, table: Tensor) -> Tensor:
        """Distinct items [B, C], 1..N, of the histories of B customers; ``table`` [N + 1, D] are the items' vectors."""
        rows, width = batch.items.shape
        n_items = len(table) - 1
        # Co-visits: the strengths of each event's neighbours, less for events further back.
        back = (batch.lengths[:, None] - torch.arange(width, device=batch.items.device)).clamp_min(1)  # [B, L]
        share = self.strengths[batch.items] / back[..., None]  # [B, L, M]; padding has no neighbours
        visits = table.new_zeros(rows, n_items + 1)
        visits.scatter_add_(1, self.neighbours[batch.items].flatten(1), share.flatten(1).to(table.dtype))
        mean = (table[batch.items] * batch.mask[..., None]).sum(1)
        near = mean @ table[1:].T  # [B, N]
        best = table.new_full((rows, n_items), torch.inf)
        for source, scores in enumerate((visits[:, 1:], near, self.popularity.expand(rows, -1))):
            first = scores.topk(self.count, dim=1).indices
            turn = torch.arange(self.count, device=first.device, dtype=best.dtype) * 3 + source
            # A source has no say about an item that it knows nothing of.
            turn = torch.where(scores.gather(1, first) > 0, turn, turn + 3 * n_items) if source == 0 else turn.expand(rows, -1)
            best.scatter_reduce_(1, first, turn, "amin")
        return best.topk(self.count, dim=1, largest=False).indices + 1


def co_visits(histories: Histories) -> tuple[Tensor, Tensor]:
    """Per item 0..N its strongest co-visited items [N + 1, M] (0: none) and their strengths [N + 1, M]."""
    size = histories.n_items + 1
    items = histories.items.numpy().astype(np.int64)
    owner = np.repeat(np.arange(histories.n_customers, dtype=np.int64), histories.lengths.numpy())
    total = sparse.csr_matrix((size, size), dtype=np.float64)
    for gap in range(1, STEPS + 1):
        pair = (owner[gap:] == owner[:-gap]) & (items[gap:] != items[:-gap])
        one, other = items[:-gap][pair], items[gap:][pair]
        if len(one):
            total = total + sparse.csr_matrix((np.full(len(one), 1.0 / gap), (one, other)), shape=(size, size))
    both = (total + total.T).tocsr()
    # Divided by how often an item is co-visited at all: what is bought by everybody is not a companion of everything.
    often = np.sqrt(np.maximum(np.asarray(both.sum(axis=1)).ravel(), 1.0))
    both = sparse.diags(1 / often) @ both @ sparse.diags(1 / often)
    kept = min(NEIGHBOURS, size)
    neighbours, strengths = np.zeros((size, kept), np.int64), np.zeros((size, kept), np.float32)
    both = both.tocsr()
    for item in range(size):
        span = slice(both.indptr[item], both.indptr[item + 1])
        order = np.lexsort((both.indices[span], -both.data[span]))[:kept]
        neighbours[item, : len(order)] = both.indices[span][order]
        strengths[item, : len(order)] = both.data[span][order]
    return torch.from_numpy(neighbours), torch.from_numpy(strengths)


def spread(values: Tensor, candidates: Tensor, popularity: Tensor) -> Tensor:
    """Scores [B, C] of candidates [B, C] (items 1..N) -> [B, N]: every other item stands below all of them, by popularity."""
    below = popularity - popularity.max() - 1  # [N], at most -1
    full = values.amin(1, keepdim=True) + below
    return full.scatter(1, candidates - 1, values)
