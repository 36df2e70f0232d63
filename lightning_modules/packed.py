"""Ragged batches without padding: the rows of all sequences one after another, [T, D].

Everything that treats rows one by one (embedding, norms, linear layers, the loss) runs on the packed rows. Attention
alone needs sequences: it takes them in groups of similar length, each padded to its longest. Padding stands on the right,
where a causal query cannot see it, so it needs no mask; what it computes is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

# A sequence joins the group of a longer one while at least this share of its padded row is real: wider groups waste
# arithmetic, narrower ones make more kernel calls.
LEAST_FILLED = 0.75


@dataclass(frozen=True)
class Group:
    """Sequences that share one padded call of attention."""

    sequences: Tensor  # [b] int64, which sequences of the packing
    rows: Tensor  # [b * W] int64, packed row of each padded cell; a cell without one repeats its sequence's last row
    width: int  # W
    cells: Tensor | None  # [n] int64, the padded cells that are real; None: all are


@dataclass(frozen=True)
class Packing:
    """Where each of B sequences of ``lengths`` [B] stands in T packed rows. Every length is at least 1."""

    lengths: Tensor  # [B] int64
    starts: Tensor  # [B] int64, first row of each sequence
    owner: Tensor  # [T] int64, the sequence of each row
    place: Tensor  # [T] int64, position of each row in its sequence, from 0
    groups: tuple[Group, ...]

    @property
    def last(self) -> Tensor:
        """[B] int64, the last row of each sequence."""
        return self.starts + self.lengths - 1

    @classmethod
    def of(cls, lengths: Tensor, least_filled: float = LEAST_FILLED) -> Packing:
        """The packing of sequences of ``lengths`` [B]; ``least_filled`` 0 makes a single group.

        Raises:
            ValueError: no sequence, or an empty one.
        """
        if len(lengths) == 0 or int(lengths.min()) < 1:
            raise ValueError("a packing needs at least one sequence, each of at least one row")
        starts = lengths.cumsum(0) - lengths
        numbers = torch.arange(len(lengths), device=lengths.device)
        owner = torch.repeat_interleave(numbers, lengths)
        place = torch.arange(len(owner), device=lengths.device) - starts[owner]
        return cls(lengths, starts, owner, place, _groups(lengths, starts, least_filled))


def _groups(lengths: Tensor, starts: Tensor, least_filled: float) -> tuple[Group, ...]:
    ordered, order = torch.sort(lengths, descending=True, stable=True)
    sizes = ordered.tolist()
    edges = [0]
    for number, size in enumerate(sizes):
        if size < least_filled * sizes[edges[-1]]:
            edges.append(number)
    edges.append(len(sizes))
    groups: list[Group] = []
    for first, end in pairwise(edges):
        width = sizes[first]
        chosen = order[first:end]
        column = torch.arange(width, device=lengths.device)
        inside = ordered[first:end, None]
        rows = starts[chosen, None] + torch.minimum(column, inside - 1)  # [b, W]
        full = sizes[end - 1] == width
        cells = None if full else torch.nonzero((column < inside).flatten()).flatten()
        groups.append(Group(chosen, rows.flatten(), width, cells))
    return tuple(groups)
