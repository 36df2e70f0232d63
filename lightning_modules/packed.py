"""Ragged batches without padding: the rows of all sequences one after another, [T, D].

Everything that treats rows one by one (embedding, norms, linear layers, the loss) runs on the packed rows. Attention
alone needs sequences: it takes them in groups of similar length, each padded to its longest. Padding stands on the right,
where a causal query cannot see it, so it needs no mask; what it computes is dropped.

Shapes are kept few on purpose (``row_multiple``, WIDTH_MULTIPLE): a CPU's matrix kernels are compiled when a shape is
first seen, which takes longer than the product itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor

GROUP = 16  # sequences a group, before groups of one width are joined
WIDTH_MULTIPLE = 8


@dataclass(frozen=True)
class Group:
    """Sequences that share one padded call of attention; the cells of group and head lie as [b, H, W]."""

    sequences: Tensor  # [b] int64, which sequences of the packing
    width: int  # W
    first: int  # its first cell among those of all groups

    @property
    def size(self) -> int:
        """b."""
        return len(self.sequences)


@dataclass(frozen=True)
class Packing:
    """Where each of B sequences of ``lengths`` [B] stands in T packed rows. Every length is at least 1.

    The last rows may be spare: they belong to no group, and their ``owner`` and ``place`` are 0. A cell is one (sequence,
    head, column) of a group; all groups together have M.
    """

    lengths: Tensor  # [B] int64
    starts: Tensor  # [B] int64, first row of each sequence
    owner: Tensor  # [T] int64, the sequence of each row
    place: Tensor  # [T] int64, position of each row in its sequence, from 0
    groups: tuple[Group, ...]
    heads: int
    rows: Tensor  # [M] int64, row * H + head of each cell; padding repeats its sequence's last row
    padding: Tensor  # [P] int64, the cells that are padding
    cells: Tensor  # [T * H] int64, the cell of each row and head; M for spare rows

    @property
    def last(self) -> Tensor:
        """[B] int64, the last row of each sequence."""
        return self.starts + self.lengths - 1

    @cached_property
    def mixed_rows(self) -> Tensor:
        """[3 * M] int64: where the query of each cell, then the key, then the value stand in rows [T * 3 * H, d] that hold
        queries, keys and values of all heads side by side."""
        query = self.rows + torch.div(self.rows, self.heads, rounding_mode="floor") * (2 * self.heads)
        return torch.cat([query, query + self.heads, query + 2 * self.heads])

    @cached_property
    def mixed_cells(self) -> Tensor:
        """[T * 3 * H] int64, the way back: the cell of each such row, where queries, keys and values have M + 1 each."""
        cells, every = self.cells.view(-1, self.heads), len(self.rows) + 1
        return torch.stack([cells, cells + every, cells + 2 * every], 1).flatten()

    @property
    def real(self) -> int:
        """Rows that are not spare."""
        return int(self.starts[-1] + self.lengths[-1])

    @classmethod
    def of(cls, lengths: Tensor, heads: int = 1, *, group: int = GROUP, row_multiple: int = 1) -> Packing:
        """The packing of sequences of ``lengths`` [B].

        Args:
            group: sequences that share a padded call; at least B makes a single group.
            row_multiple: spare rows are added up to a multiple of this.

        Raises:
            ValueError: no sequence, or an empty one.
        """
        if len(lengths) == 0 or int(lengths.min()) < 1:
            raise ValueError("a packing needs at least one sequence, each of at least one row")
        device = lengths.device
        starts = lengths.cumsum(0) - lengths
        owner = torch.repeat_interleave(torch.arange(len(lengths), device=device), lengths)
        real = len(owner)
        place = torch.arange(real, device=device) - starts[owner]
        spare = -real % row_multiple
        if spare:
            nothing = torch.zeros(spare, dtype=torch.int64, device=device)
            owner, place = torch.cat([owner, nothing]), torch.cat([place, nothing])
        groups = _groups(lengths, heads, group)
        head = torch.arange(heads, device=device)[:, None]
        rows: list[Tensor] = []
        inside: list[Tensor] = []
        for one in groups:
            ends = lengths[one.sequences, None]
            column = torch.arange(one.width, device=device)
            row = starts[one.sequences, None] + torch.minimum(column, ends - 1)  # [b, W]
            rows.append((row[:, None] * heads + head).flatten())  # [b * H * W]
            inside.append((column < ends)[:, None].expand(-1, heads, -1).flatten())
        every, mask = torch.cat(rows), torch.cat(inside)
        chosen = torch.nonzero(mask).flatten()
        cells = torch.full((len(owner) * heads,), len(every), device=device)
        cells[every[chosen]] = chosen
        return cls(lengths, starts, owner, place, groups, heads, every, torch.nonzero(~mask).flatten(), cells)


def _groups(lengths: Tensor, heads: int, group: int) -> tuple[Group, ...]:
    ordered, order = torch.sort(lengths, descending=True, stable=True)
    sizes = ordered.tolist()
    widths = [min(-(-sizes[first] // WIDTH_MULTIPLE) * WIDTH_MULTIPLE, sizes[0]) for first in range(0, len(sizes), group)]
    edges = [number * group for number, width in enumerate(widths) if number == 0 or width != widths[number - 1]]
    groups: list[Group] = []
    first_cell = 0
    for first, end in pairwise([*edges, len(sizes)]):
        width = widths[first // group]
        groups.append(Group(order[first:end], width, first_cell))
        first_cell += (end - first) * heads * width
    return tuple(groups)
