"""Training examples cut from histories, in batches of similar length, shuffled by (seed, epoch) alone.

A target is always a *first* purchase of an item. Two shapes:

- ``PurchaseExamples``: one example per first purchase, with the customer's other purchases up to that day as context
  (those of the same day too: the source has no order within a day). The target itself is hidden.
- ``SequenceExamples``: one example per customer, with a target at every position whose next event is a first purchase.

A target's weight halves with every half-life of its age. An epoch draws each example with the probability of its
heaviest target, and its weights are divided by that probability: the same expected gradient as weighting alone, at a
fraction of the work, since most purchases of a long history are old.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset, Sampler

from lightning_modules.histories import Histories, HistoryBatch

Index = npt.NDArray[np.int64]
# Batches of similar length are cut from shuffled pools of this many batches: little padding, yet well mixed.
POOL_BATCHES = 32
# No example is drawn more rarely than this per epoch, however old: some items were last bought long ago.
RAREST = 0.02


@dataclass(frozen=True)
class TrainingBatch:
    """Context, targets and their weights; ``*`` is nothing (purchases) or a dimension L (sequences)."""

    history: HistoryBatch
    targets: Tensor  # [B, *] int64, column of the target (item - 1); 0 where the weight is 0
    weights: Tensor  # [B, *] float32, 0 = no target here
    owned: Tensor  # [B, M] int64, everything the customer ever bought, 0-padded: not a negative

    def to(self, device: torch.device | str, *args: Any, **kwargs: Any) -> TrainingBatch:
        """The same batch on ``device``."""
        moved = {f.name: getattr(self, f.name).to(device, *args, **kwargs) for f in fields(self)}
        return replace(self, **moved)


def owned_columns(items: Tensor, n_items: int) -> Tensor:
    """Items [B, L] (0 = padding) -> bool [B, N], True at column item - 1."""
    marked = torch.zeros(len(items), n_items + 1, dtype=torch.bool, device=items.device)
    return marked.scatter_(1, items, True)[:, 1:]


def target_weights(histories: Histories, half_life_days: float | None) -> Tensor:
    """[E] float32: how much each event counts as a target; 0 if it is not a first purchase."""
    first = histories.first.float()
    if half_life_days is None:
        return first
    age = (histories.cut_day - histories.days).float()
    return first * torch.exp2(-age / half_life_days)


class PurchaseExamples(Dataset[TrainingBatch]):
    """One example per first purchase; indexed by an array of example numbers."""

    def __init__(self, histories: Histories, max_length: int, half_life_days: float | None) -> None:
        self.histories = histories
        self.max_length = max_length
        self.weights = target_weights(histories, half_life_days)
        self.events = torch.nonzero(self.weights > 0).flatten()  # [T] the target events
        owner = owner_of_events(histories)
        self.owners = owner[self.events]  # [T]
        self.ends = _day_ends(owner, histories.days)[self.events]  # [T] one past the target's day
        context = self.ends - histories.offsets[self.owners] - 1
        self.lengths: Index = context.clamp(max=max_length).numpy()
        self.chances = self.weights[self.events].clamp_min(RAREST)  # [T] of being drawn in an epoch

    def __len__(self) -> int:
        return len(self.events)

    def __getitem__(self, index: Index) -> TrainingBatch:
        rows = torch.from_numpy(index)
        histories, owners, ends = self.histories, self.owners[rows], self.ends[rows]
        event = self.events[rows]
        target = histories.items[event].long()
        # One event more than is kept, since the target is among them.
        starts = torch.maximum(histories.offsets[owners], ends - self.max_length - 1)
        history = histories.window(owners, starts, ends, histories.days[event].long())
        hidden = history.items == target[:, None]
        context = replace(history, items=history.items.masked_fill(hidden, 0))
        owned = histories.window(owners, histories.offsets[owners], histories.offsets[owners + 1], context.now).items
        return TrainingBatch(context, target - 1, self.weights[event] / self.chances[rows], owned)


class SequenceExamples(Dataset[TrainingBatch]):
    """One example per customer with a target; position p asks for event p, having read events before it.

    ``owned`` False leaves ``TrainingBatch.owned`` empty, for a loss that takes everything as a negative.
    """

    def __init__(self, histories: Histories, max_length: int, half_life_days: float | None, *, owned: bool = True) -> None:
        self.owned = owned
        self.histories = histories
        self.max_length = max_length
        self.weights = target_weights(histories, half_life_days)
        # Only windows that hold a target: a customer's targets may all lie before the most recent events.
        total = F.pad((self.weights > 0).cumsum(0, dtype=torch.int32), (1, 0))
        ends = histories.offsets[1:]
        starts = torch.maximum(histories.offsets[:-1], ends - max_length - 1)
        self.customers = torch.nonzero(total[ends] - total[starts] > 0).flatten()
        self.lengths: Index = histories.lengths[self.customers].clamp(max=max_length + 1).numpy()
        heaviest = torch.segment_reduce(self.weights, "max", lengths=histories.lengths, initial=0.0)
        self.chances = heaviest[self.customers].clamp_min(RAREST)  # of being drawn in an epoch

    def __len__(self) -> int:
        return len(self.customers)

    def __getitem__(self, index: Index) -> TrainingBatch:
        histories = self.histories
        rows = torch.from_numpy(index)
        customers = self.customers[rows]
        ends = histories.offsets[customers + 1]
        # One event more than is read: the last one is only asked for.
        starts = torch.maximum(histories.offsets[customers], ends - self.max_length - 1)
        history = histories.window(customers, starts, ends, torch.full_like(customers, histories.cut_day))
        position = starts[:, None] + torch.arange(history.items.shape[1])
        real = history.mask
        weights = torch.where(real, self.weights[torch.where(real, position, 0)], 0.0) / self.chances[rows, None]
        owned = torch.zeros(len(rows), 1, dtype=torch.int64)
        if self.owned:
            owned = histories.window(customers, histories.offsets[customers], ends, history.now).items
        return TrainingBatch(history, (history.items - 1).clamp_min(0), weights, owned)


class LengthBuckets(Sampler[Index]):
    """Batches of example numbers, similar in length; which and in what order depends on (seed, epoch) alone.

    ``pool_batches`` 1 gives random batches, for a model whose cost does not depend on padding.
    """

    def __init__(self, lengths: Index, chances: Tensor, batch_size: int, seed: int, pool_batches: int = POOL_BATCHES) -> None:
        self.pool_batches = pool_batches
        self.lengths = lengths
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0
        # Running total of the chances, stretched to a whole number: every epoch draws exactly that many.
        total = np.cumsum(chances.double().numpy())
        self.drawn = max(round(float(total[-1])), 1) if len(total) else 0
        self.total = total * (self.drawn / total[-1]) if len(total) else total

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning at the start of each epoch, also after a resume."""
        self.epoch = epoch

    def __len__(self) -> int:
        return (self.drawn + self.batch_size - 1) // self.batch_size

    def __iter__(self) -> Iterator[Index]:
        generator = np.random.default_rng([self.seed, self.epoch])
        # Systematic sampling: equal steps along the running total from one random start.
        points = generator.random() + np.arange(self.drawn)
        order = np.minimum(np.searchsorted(self.total, points, side="right"), len(self.total) - 1)
        order = generator.permutation(order)
        pool = self.batch_size * self.pool_batches
        batches: list[Index] = []
        for start in range(0, len(order), pool):
            part = order[start : start + pool]
            part = part[np.argsort(self.lengths[part], kind="stable")]
            batches += [part[i : i + self.batch_size] for i in range(0, len(part), self.batch_size)]
        for i in generator.permutation(len(batches)):
            yield batches[i]


def owner_of_events(histories: Histories) -> Tensor:
    """[E] int64, the customer's row of each event."""
    return torch.repeat_interleave(torch.arange(histories.n_customers), histories.lengths)


def _day_ends(owner: Tensor, days: Tensor) -> Tensor:
    """[E] for each event, one past the last event of the same customer on the same day."""
    count = len(owner)
    if count == 0:
        return torch.zeros(0, dtype=torch.int64)
    changes = (owner[1:] != owner[:-1]) | (days[1:] != days[:-1])
    ends = torch.cat([torch.nonzero(changes).flatten() + 1, torch.tensor([count])])
    group = torch.cat([torch.zeros(1, dtype=torch.int64), changes.long().cumsum(0)])
    return ends[group]
