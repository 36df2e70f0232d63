"""Training examples that repeat the question itself, asked on past days: "as known on day s, what is bought in the next H days?"

An anchor is such a past day. Its examples are the customers with a history before it and a first purchase in its horizon.
Every purchase a model reads of an example is dated before its anchor, as every one it scores from is dated up to the
cut. (Profiles are those of the cut in both.)
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset, Sampler

from lightning_modules.examples import TrainingBatch, owner_of_events
from lightning_modules.histories import Histories

Index = npt.NDArray[np.int64]
FEWEST_CUSTOMERS = 20
"""An anchor with fewer examples says nothing and is left out."""
LEAD_DAYS = 20
"""Days of trading that must lie before an anchor."""


def anchor_days(cut_day: int, first_day: int, horizon: int, anchors: int, spacing: int) -> list[int]:
    """Up to ``anchors`` days to ask on, newest first and ``spacing`` apart; the newest's horizon ends on the cut.

    Horizons cut short by the end of the data were tried too: they helped on no validation split.
    """
    days = [cut_day + 1 - horizon - spacing * number for number in range(anchors)]
    return [day for day in days if day > first_day + LEAD_DAYS]


class AnchorExamples(Dataset[TrainingBatch]):
    """One example per anchor and customer; indexed by example numbers *of one anchor*."""

    def __init__(self, histories: Histories, days: list[int], horizon: int) -> None:
        self.histories = histories
        owner = owner_of_events(histories).numpy()
        day, first = histories.days.numpy(), histories.first.numpy().astype(bool)
        starts: list[Index] = []  # of the targets, as event numbers
        anchors, customers, ends = [], [], []
        for asked in days:
            before = np.bincount(owner[day < asked], minlength=histories.n_customers)  # events known on the day
            known = np.zeros(histories.n_items + 1, bool)
            known[histories.items.numpy()[day < asked]] = True
            target = np.flatnonzero(first & (day >= asked) & (day < asked + horizon) & (before[owner] > 0))
            target = target[known[histories.items.numpy()[target]]]
            who = np.unique(owner[target])
            if len(who) < FEWEST_CUSTOMERS:
                continue
            anchors.append(np.full(len(who), asked, np.int64))
            customers.append(who)
            ends.append(histories.offsets.numpy()[who] + before[who])
            starts += np.split(target, np.flatnonzero(np.diff(owner[target])) + 1)
        self.anchors = np.concatenate(anchors) if anchors else np.zeros(0, np.int64)  # [T] day
        self.customers = np.concatenate(customers) if customers else np.zeros(0, np.int64)
        self.ends = np.concatenate(ends) if ends else np.zeros(0, np.int64)  # one past the last event known
        self.targets = starts  # [T] arrays of event numbers

    def __len__(self) -> int:
        return len(self.customers)

    def __getitem__(self, index: Index) -> TrainingBatch:
        histories = self.histories
        customers = torch.from_numpy(self.customers[index])
        history = histories.window(
            customers,
            histories.offsets[customers],
            torch.from_numpy(self.ends[index]),
            torch.from_numpy(self.anchors[index]),
        )
        events = [self.targets[number] for number in index]
        counts = np.array([len(e) for e in events])
        place = np.arange(counts.max()) < counts[:, None]  # [B, M]
        targets = np.zeros(place.shape, np.int64)
        targets[place] = histories.items.numpy()[np.concatenate(events)].astype(np.int64) - 1
        weights = (place / counts[:, None]).astype(np.float32)  # a customer counts once, however much was bought
        return TrainingBatch(history, torch.from_numpy(targets), torch.from_numpy(weights), history.items)


class AnchorBatches(Sampler[Index]):
    """Batches of one anchor each; which and in what order depends on (seed, epoch) alone."""

    def __init__(self, anchors: Index, batch_size: int, seed: int) -> None:
        self.groups = [np.flatnonzero(anchors == day) for day in np.unique(anchors)]
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning at the start of each epoch, also after a resume."""
        self.epoch = epoch

    def __len__(self) -> int:
        return sum(-(-len(group) // self.batch_size) for group in self.groups)

    def __iter__(self) -> Iterator[Index]:
        generator = np.random.default_rng([self.seed, self.epoch])
        batches = []
        for group in self.groups:
            shuffled = generator.permutation(group)
            batches += [shuffled[start : start + self.batch_size] for start in range(0, len(group), self.batch_size)]
        for number in generator.permutation(len(batches)):
            yield batches[number]
