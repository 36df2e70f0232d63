"""Item vectors from who was bought near whom: a place to start that already ranks well, in a second or two.

With C[i, j] the number of times j was bought within ``STEPS`` events of i, each event in between counting ``STEP_DECAY`` as
much, summed over customers, and d its row sums, the start is the leading spectrum of the symmetric matrix

    A = (D + I)^-1/2 (C + C^T) (D + I)^-1/2 + SELF * I

Item i gets row i of U sqrt(S), at length 1: two items that are bought in one stretch begin close to each other. Training
goes on from there with nothing held fixed.

Sources: Levy and Goldberg 2014 (embeddings as a factored co-occurrence matrix),
https://papers.nips.cc/paper/5477-neural-word-embedding-as-implicit-matrix-factorization; Halko et al. 2011 (randomised
subspace iteration), https://arxiv.org/abs/0909.4061
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from lightning_modules.examples import owner_of_events
from lightning_modules.histories import Histories

STEPS = 5
STEP_DECAY = 0.8
SELF = 0.3
SPARE = 16  # directions more than are kept: what makes one or two rounds of iteration enough
ROUNDS = 3


def covisits(histories: Histories, steps: int = STEPS, decay: float = STEP_DECAY) -> Tensor:
    """Sparse [N, N] float32, coalesced: weight of j within ``steps`` events after i; not symmetric."""
    items = histories.items.long() - 1
    owner = owner_of_events(histories)
    pairs: list[Tensor] = []
    weights: list[Tensor] = []
    for step in range(1, min(steps, max(len(items) - 1, 0)) + 1):
        together = (owner[step:] == owner[:-step]) & (items[step:] != items[:-step])
        pairs.append(torch.stack([items[:-step][together], items[step:][together]]))
        weights.append(torch.full((pairs[-1].shape[1],), decay ** (step - 1)))
    places = torch.cat(pairs, 1) if pairs else torch.zeros(2, 0, dtype=torch.int64)
    counts = torch.cat(weights) if weights else torch.zeros(0)
    return _sparse(places, counts, histories.n_items).coalesce()


def _sparse(places: Tensor, values: Tensor, size: int) -> Tensor:
    # Said outright, because torch warns where it must guess whether to check.
    return torch.sparse_coo_tensor(places, values, (size, size), check_invariants=True)


def covisit_vectors(histories: Histories, dim: int, seed: int = 0) -> Tensor:
    """[N, dim] float32 of length 1; an item that was never near another gets a random direction.

    The same histories, width and seed give the same vectors. With fewer than ``dim`` items the rest is 0.
    """
    n_items = histories.n_items
    counted = covisits(histories)
    one_way = counted.indices()
    both = _sparse(torch.cat([one_way, one_way.flip(0)], 1), counted.values().repeat(2), n_items).coalesce()
    degree = torch.zeros(n_items).index_add_(0, both.indices()[0], both.values())
    shrink = (degree + 1).rsqrt()
    rows, columns = both.indices()
    spread = _sparse(both.indices(), both.values() * shrink[rows] * shrink[columns], n_items)
    generator = torch.Generator().manual_seed(seed)
    kept = min(dim, n_items)
    basis = torch.randn(n_items, min(dim + SPARE, n_items), generator=generator)
    for _ in range(ROUNDS):
        basis = torch.linalg.qr(torch.sparse.mm(spread, basis) + SELF * basis).Q
    image = torch.sparse.mm(spread, basis) + SELF * basis
    # A is symmetric: its spectrum within the basis is that of a small matrix.
    values, inner = torch.linalg.eigh(basis.T @ image)
    largest = values.abs().argsort(descending=True)[:kept]
    vectors = basis @ inner[:, largest] * values[largest].abs().sqrt()
    alone = degree == 0
    vectors[alone] = torch.randn(int(alone.sum()), kept, generator=generator)
    return F.pad(F.normalize(vectors, dim=1), (0, dim - kept))
