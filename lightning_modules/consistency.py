"""Do similar customers have similar attention?

- Similar by inputs alone: half the Jaccard index of what two customers bought, half the share of equal profile fields.
- A customer's attention is the mean, over his recommendations, of the weights on his holdings, on a shared support: the
  holdings themselves (asset), or what they are (sector, asset class).
- The statistic is the mean Jensen-Shannon divergence between a customer and his k nearest ones.

Two nulls, since customers with like holdings have like attention by that alone:

- *any customer*: the attentions are permuted among customers of one stratum (how much they bought, and how popular it is).
  Beating it says that attention follows who a customer is, holdings included.
- *given the holdings*: each customer's own weights are permuted among his own holdings. Supports and concentration stay
  as they are; beating it says that similar customers attend to the same ones of the holdings they could attend to.

Both p-values are one-sided, (1 + draws that are at most the observed mean) / (1 + draws), with the false discovery rate
controlled over the segments of one support.

Sources: Mantel 1967 (permuting rows and columns together); Phipson and Smyth 2010 (p is never 0),
https://doi.org/10.2202/1544-6115.1585; Benjamini and Hochberg 1995
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse, stats

from lightning_modules.jensen_shannon import bits, divergences, in_common, jensen_shannon

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
FEWEST_HOLDINGS = 2
"""With fewer distinct holdings attention has nothing to decide."""
BANDS = 4
"""Strata are quarters by length times quarters by popularity."""
CELLS = 2**22
"""Numbers held at once while permuting."""


@dataclass(frozen=True)
class Attended:
    """Mean attention of n customers over what they hold: one entry a customer and holding, M in all."""

    customers: Ints  # [n] rows of the training set, rising
    owner: Ints  # [M] 0..n-1, never falling
    item: Ints  # [M] 1..N, rising within an owner
    weight: Floats  # [M] sums to 1 per owner

    @property
    def sizes(self) -> Ints:
        """[n] holdings of each customer."""
        return np.bincount(self.owner, minlength=len(self.customers))

    def on(self, group: Ints, weight: Floats | None = None) -> sparse.csr_array:
        """[n, S], the attention summed per group; ``group`` [N + 1] gives the group 0..S-1 of each item."""
        values = self.weight if weight is None else weight
        shape = (len(self.customers), int(group.max()) + 1)
        return sparse.coo_array((values, (self.owner, group[self.item])), shape=shape).tocsr()


def attended(customer: Ints, candidate: Ints, item: Ints, weight: Floats) -> Attended:
    """From an attention table (parallel arrays, every holding of a customer for every candidate of his).

    Customers with fewer than two holdings, or for whom no holding speaks at all, are left out.
    """
    spoken = np.bincount(customer, weight)
    rows, place = np.unique(np.stack([customer, item]), axis=1, return_inverse=True)
    total = np.bincount(place, weight)
    owner, holdings = rows
    held = np.bincount(owner, minlength=len(spoken))
    kept = ((held >= FEWEST_HOLDINGS) & (spoken > 0))[owner]
    customers, number = np.unique(owner[kept], return_inverse=True)
    return Attended(customers, number, holdings[kept], total[kept] / spoken[owner[kept]])


def among(attention: Attended, customers: Ints) -> Attended:
    """The part of it that belongs to those of ``customers`` (rows, rising) whom it knows."""
    kept = np.isin(attention.customers, customers)
    number = np.cumsum(kept) - 1
    mine = kept[attention.owner]
    return Attended(attention.customers[kept], number[attention.owner[mine]], attention.item[mine], attention.weight[mine])


def nearest(attention: Attended, profiles: Ints, k: int, seed: int) -> Ints:
    """[n, k'] numbers of each customer's k nearest others by holdings and profile [n, F] (codes); equal ones are drawn.

    k' is at most n - 1.
    """
    n = len(attention.customers)
    held = sparse.csr_array((np.ones(len(attention.item)), (attention.owner, attention.item)))
    common = (held @ held.T).toarray()
    sizes = attention.sizes
    near = common / (sizes[:, None] + sizes - common) / 2
    if profiles.shape[1]:
        near += (profiles[:, None] == profiles).mean(2) / 2
    near += np.random.default_rng(seed).random((n, n)) * 1e-9
    np.fill_diagonal(near, -1.0)
    return np.argsort(-near, axis=1, kind="stable")[:, : min(k, n - 1)]


def strata(attention: Attended, buyers: Ints) -> Ints:
    """[n] stratum of each customer: band of how much he holds, times band of how popular that is; ``buyers`` is [N + 1]."""
    popular = np.bincount(attention.owner, np.log1p(buyers[attention.item])) / attention.sizes
    return _bands(attention.sizes.astype(np.float64)) * BANDS + _bands(popular)


def _bands(values: Floats) -> Ints:
    edges = np.quantile(values, np.arange(1, BANDS) / BANDS)
    return np.searchsorted(edges, values, side="left").astype(np.int64)


def consistency(
    attention: Attended,
    neighbours: Ints,
    supports: Mapping[str, Ints],
    segments: Mapping[tuple[str, str], Flags],
    stratum: Ints,
    *,
    permutations: int,
    seed: int,
    seeds: tuple[Attended, Attended] | None = None,
) -> list[dict[str, Any]]:
    """One row a support and segment.

    Args:
        neighbours: [n, k] of :func:`nearest`.
        supports: group of each item, [N + 1], by the support's name.
        segments: members [n] by (kind, name); neighbours may stand outside of the segment.
        stratum: [n].
        seeds: the same customers' attention under two fits that differ in the seed alone.

    Returns:
        support, segment_kind, segment, n; mean_jsd; null_mean, effect (null less observed), effect_std (in standard
        deviations of the null), p, q of the first null; holdings_null_mean, holdings_effect, holdings_effect_std,
        holdings_p, holdings_q of the second; uniform_jsd (were all holdings attended to alike); seed_jsd (None without
        ``seeds``). Divergences are in bits, 0 to 1.
    """
    if permutations < 1:
        raise ValueError("permutations is at least 1")
    if seeds is not None and any(not np.array_equal(one.customers, attention.customers) for one in seeds):
        raise ValueError("the two seeds' attention is of other customers")
    rows: list[dict[str, Any]] = []
    anyone_else = _other_customers(stratum, permutations, seed)
    rearranged = _own_holdings(attention, permutations, seed)
    for support, group in supports.items():
        here = attention.on(group)
        table = divergences(here)
        observed = table[np.arange(len(table))[:, None], neighbours].mean(1)  # [n]
        alike = divergences(attention.on(group, 1.0 / attention.sizes[attention.owner]))
        uniform = alike[np.arange(len(alike))[:, None], neighbours].mean(1)
        between = _between_seeds(seeds, group)
        anyone = _any_customer(table, neighbours, anyone_else)
        given = _given_holdings(attention, neighbours, group, rearranged)
        found: list[dict[str, Any]] = []
        for (kind, name), members in segments.items():
            if not members.any():
                continue
            mean = float(observed[members].mean())
            found.append(
                {
                    "support": support,
                    "segment_kind": kind,
                    "segment": name,
                    "n": int(members.sum()),
                    "mean_jsd": mean,
                    **_against(mean, anyone[:, members].mean(1), ""),
                    **_against(mean, given[:, members].mean(1), "holdings_"),
                    "uniform_jsd": float(uniform[members].mean()),
                    "seed_jsd": None if between is None else float(between[members].mean()),
                }
            )
        for prefix in ("", "holdings_"):
            controlled = stats.false_discovery_control([row[f"{prefix}p"] for row in found], method="bh")
            for row, q in zip(found, controlled, strict=True):
                row[f"{prefix}q"] = float(q)
        rows += found
    return rows


def _against(observed: float, null: Floats, prefix: str) -> dict[str, float | None]:
    mean, spread = float(null.mean()), float(null.std())
    # Sums in another order differ in their last bits, which must not decide a tie.
    below = int((null <= observed + 1e-12).sum())
    return {
        f"{prefix}null_mean": mean,
        f"{prefix}effect": mean - observed,
        f"{prefix}effect_std": (mean - observed) / spread if spread > 1e-12 else None,
        f"{prefix}p": (1 + below) / (1 + len(null)),
    }


def _between_seeds(seeds: tuple[Attended, Attended] | None, group: Ints) -> Floats | None:
    if seeds is None:
        return None
    here, there = (one.on(group) for one in seeds)
    return np.concatenate(
        [
            jensen_shannon(here[rows].toarray(), there[rows].toarray())
            for rows in np.array_split(np.arange(here.shape[0]), -(-here.shape[0] * here.shape[1] // CELLS))
        ]
    )


def _other_customers(stratum: Ints, permutations: int, seed: int) -> npt.NDArray[np.int32]:
    """[permutations, n]: whose attention each customer is given, one of his own stratum."""
    draw = np.random.default_rng([seed, 1])
    places = np.argsort(stratum, kind="stable")
    given = np.empty((permutations, len(stratum)), np.int32)
    for number in range(permutations):
        given[number, places] = np.argsort(stratum + draw.random(len(stratum)))
    return given


def _own_holdings(attention: Attended, permutations: int, seed: int) -> npt.NDArray[np.int32]:
    """[permutations, M]: the entry whose weight each holding is given, one of the same customer's."""
    draw = np.random.default_rng([seed, 2])
    given = np.empty((permutations, len(attention.owner)), np.int32)
    for number in range(permutations):
        given[number] = np.argsort(attention.owner + draw.random(len(attention.owner)))
    return given


def _any_customer(table: Floats, neighbours: Ints, permuted: npt.NDArray[np.int32]) -> Floats:
    """[permutations, n]: each customer's mean divergence from his nearest, everybody with the attention he is given."""
    return np.stack([table[given[:, None], given[neighbours]].mean(1) for given in permuted])


def _given_holdings(attention: Attended, neighbours: Ints, group: Ints, permuted: npt.NDArray[np.int32]) -> Floats:
    """[permutations, n]: the same with each customer's weights permuted among his own holdings."""
    n, k = neighbours.shape
    shapes = attention.on(group, np.ones_like(attention.weight))  # which cells a permutation can fill
    cell = _cells(shapes, attention, group)  # [M] the cell of each holding
    mine, theirs, pair = _shared_cells(shapes, neighbours)
    means = np.empty((len(permuted), n))
    for number, order in enumerate(permuted):
        values: Floats = np.bincount(cell, attention.weight[order], minlength=shapes.nnz).astype(np.float64, copy=False)
        told = bits(values)
        said = in_common(values[mine], values[theirs], told[mine], told[theirs])
        means[number] = 1 + np.bincount(pair // k, said, minlength=n) / k
    return means


def _cells(shapes: sparse.csr_array, attention: Attended, group: Ints) -> Ints:
    shapes.sort_indices()
    rows = np.repeat(np.arange(shapes.shape[0]), np.diff(shapes.indptr))
    keys = rows * shapes.shape[1] + shapes.indices  # rising
    return np.searchsorted(keys, attention.owner * shapes.shape[1] + group[attention.item])


def _shared_cells(shapes: sparse.csr_array, neighbours: Ints) -> tuple[Ints, Ints, Ints]:
    """Cells that both of a pair can fill: of the one, of the other, and the number of the pair."""
    k = neighbours.shape[1]
    size = np.diff(shapes.indptr).astype(np.int64)
    rows = np.repeat(np.arange(shapes.shape[0]), size)
    keys = rows * shapes.shape[1] + shapes.indices
    mine = np.repeat(np.arange(shapes.nnz), k)  # every cell of every customer, once for each of his nearest
    place = np.tile(np.arange(k), shapes.nnz)
    whose = neighbours[rows[mine], place]
    wanted = whose * shapes.shape[1] + shapes.indices[mine]
    theirs = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    both = keys[theirs] == wanted
    return mine[both], theirs[both], (rows[mine] * k + place)[both]
