"""Item vectors from who was bought near whom: a place to start that already ranks well, in a second or two.

With C[i, j] the number of times j was bought within ``STEPS`` events of i, before or after, each event in between counting
``STEP_DECAY`` as much, summed over customers, and d its row sums, the start is the leading spectrum of the symmetric matrix

    A = (D + I)^-1/2 C (D + I)^-1/2 + SELF * I

Item i gets row i of U sqrt(S), at length 1: two items that are bought in one stretch begin close to each other. Training
goes on from there with nothing held fixed.

Sources: Levy and Goldberg 2014 (embeddings as a factored co-occurrence matrix),
https://papers.nips.cc/paper/5477-neural-word-embedding-as-implicit-matrix-factorization; Halko et al. 2011 (randomised
subspace iteration), https://arxiv.org/abs/0909.4061
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

from lightning_modules.histories import Histories

STEPS = 5
STEP_DECAY = 0.8
SELF = 0.3
SPARE = 16  # directions more than are kept: what makes one or two rounds of iteration enough
ROUNDS = 3
BAND_EVENTS = 2**13
"""Events whose companions are counted at once: more would cost memory, fewer time."""


@dataclass(frozen=True)
class CoVisits:
    """C [N, N] in compressed rows: those of item i + 1 are entries starts[i] .. starts[i + 1] - 1, columns rising."""

    starts: Tensor  # [N + 1] int32
    columns: Tensor  # [P] int32, 0..N - 1
    values: Tensor  # [P] float32, above 0

    def rows(self) -> Tensor:
        """[P] int64, the row of each entry."""
        return torch.repeat_interleave(torch.arange(len(self.starts) - 1), self.starts.diff())

    def times(self, vectors: Tensor) -> Tensor:
        """[N, N] x [N, D] -> [N, D]."""
        if len(self.columns) == 0:
            return torch.zeros_like(vectors)
        # A bag of rows summed with weights is a sparse product; unlike torch.sparse.mm it makes no copy of the matrix.
        return F.embedding_bag(
            self.columns, vectors, self.starts, mode="sum", per_sample_weights=self.values, include_last_offset=True
        )


def covisits(histories: Histories, steps: int = STEPS, decay: float = STEP_DECAY) -> CoVisits:
    """How often items were bought within ``steps`` events of each other; an item is not its own company.

    Counted in bands of rows, so that beside the result there is little more than two numbers an event.
    """
    items, events, n_items = histories.items, histories.n_events, histories.n_items
    owner = torch.repeat_interleave(torch.arange(histories.n_customers, dtype=torch.int32), histories.lengths)
    order = torch.argsort(items, stable=True)
    reached = torch.bincount(items, minlength=n_items + 1).cumsum(0)  # [N + 1] events of items up to this one
    degrees = torch.zeros(n_items, dtype=torch.int64)
    columns, values = [torch.zeros(0, dtype=torch.int32)], [torch.zeros(0)]
    for first, end in pairwise(_bands(reached)):
        event = order[reached[first] : reached[end]]  # those of items first + 1 .. end
        keys: list[Tensor] = []
        weights: list[Tensor] = []
        for step in range(1, steps + 1):
            for shift in (-step, step):
                other = event + shift
                inside = ((other >= 0) & (other < events)).nonzero().flatten()
                here, there = event[inside], other[inside]
                together = (owner[here] == owner[there]) & (items[here] != items[there])
                here, there = here[together], there[together]
                keys.append((items[here].long() - 1 - first) * n_items + items[there] - 1)
                weights.append(torch.full((len(here),), decay ** (step - 1), dtype=torch.float64))
        cells, cell = torch.unique(torch.cat(keys), return_inverse=True)
        total = torch.zeros(len(cells), dtype=torch.float64).index_add_(0, cell, torch.cat(weights))
        degrees[first:end] = torch.bincount(cells // n_items, minlength=end - first)
        columns.append((cells % n_items).int())
        values.append(total.float())
    return CoVisits(F.pad(degrees.cumsum(0), (1, 0)).int(), torch.cat(columns), torch.cat(values))


def _bands(reached: Tensor) -> list[int]:
    """Edges of bands of items, from 0 to N, of about ``BAND_EVENTS`` events; a band is at least one item."""
    marks = torch.arange(BAND_EVENTS, max(int(reached[-1]), BAND_EVENTS), BAND_EVENTS)
    inner = torch.searchsorted(reached, marks, right=True) - 1
    return sorted({0, len(reached) - 1, *inner.tolist()})


def covisit_vectors(histories: Histories, dim: int, seed: int = 0) -> Tensor:
    """[N, dim] float32 of length 1; an item that was never near another gets a random direction.

    The same histories, width and seed give the same vectors. With fewer than ``dim`` items the rest is 0.
    """
    n_items = histories.n_items
    counted = covisits(histories)
    degree = counted.times(torch.ones(n_items, 1))
    shrink = (degree + 1).rsqrt()  # [N, 1]
    generator = torch.Generator().manual_seed(seed)
    kept = min(dim, n_items)
    basis = torch.randn(n_items, min(dim + SPARE, n_items), generator=generator)

    def spread(vectors: Tensor) -> Tensor:
        return shrink * counted.times(shrink * vectors) + SELF * vectors

    for _ in range(ROUNDS):
        basis = torch.linalg.qr(spread(basis)).Q
    # A is symmetric: its spectrum within the basis is that of a small matrix.
    values, inner = torch.linalg.eigh(basis.T @ spread(basis))
    largest = values.abs().argsort(descending=True)[:kept]
    vectors = basis @ inner[:, largest] * values[largest].abs().sqrt()
    alone = degree[:, 0] == 0
    vectors[alone] = torch.randn(int(alone.sum()), kept, generator=generator)
    return F.pad(F.normalize(vectors, dim=1), (0, dim - kept))
