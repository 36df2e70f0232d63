"""Rankers that are one sparse matrix from held items to candidates: a score is a sum over the history's events.

For customer u with events l (item i(l)) and candidate c::

    score(u, c) = sum over l of d(l) * W[i(l), c]           where any event speaks for c: W and d are never negative
    score(u, c) = buyers(c) / (1 + most buyers) - 1         where none does: below all others, by popularity

so an event's contribution to a score is known exactly, and ``attention`` is its share.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lightning_modules.histories import Histories, HistoryBatch
from lightning_modules.interactions import shares
from lightning_modules.popularity import popularity_scores
from lightning_modules.ranker import ClosedForm
from lightning_modules.settings import ModelSpec

MOST_ENTRIES = 2**23
"""Entries of W that are looked up at once: some 200 MB."""
SPARSE = ("starts", "columns", "values")


class ItemToItem(ClosedForm, nn.Module):
    """Holds W as CSR; a model says how W is computed (``matrix``) and how much an event counts (``event_weights``)."""

    starts: Tensor
    columns: Tensor
    values: Tensor
    buyers: Tensor

    def __init__(self, spec: ModelSpec, histories: Histories) -> None:
        super().__init__()
        self.spec = spec
        self.n_items = histories.n_items
        self.register_buffer("starts", torch.zeros(self.n_items + 1, dtype=torch.int64))
        self.register_buffer("columns", torch.zeros(0, dtype=torch.int64))
        self.register_buffer("values", torch.zeros(0))
        self.register_buffer("buyers", torch.zeros(self.n_items))

    def matrix(self, histories: Histories) -> Any:
        """W as a scipy CSR matrix [N, N], entries at least 0."""
        raise NotImplementedError

    def event_weights(self, batch: HistoryBatch) -> Tensor:
        """[B, L], at least 0; 0 at padding."""
        raise NotImplementedError

    def prepare(self, histories: Histories, half_life_days: float | None) -> None:
        weights = self.matrix(histories).tocsr()
        weights.eliminate_zeros()
        weights.sort_indices()
        device = self.buyers.device
        self.starts = torch.from_numpy(weights.indptr).to(device, torch.int64)
        self.columns = torch.from_numpy(weights.indices).to(device, torch.int64)
        self.values = torch.from_numpy(weights.data).to(device, torch.float32)
        self.buyers.copy_(popularity_scores(histories))

    def score(self, batch: HistoryBatch) -> Tensor:
        """[B, N]."""
        held = torch.zeros(len(batch.items), self.n_items + 1, device=batch.items.device)
        held = held.scatter_add(1, batch.items, self.event_weights(batch).to(held.dtype))[:, 1:]
        row, item = torch.nonzero(held, as_tuple=True)  # [P] held pairs
        length = self.starts[item + 1] - self.starts[item]  # entries of W that each reads
        spoken = torch.zeros(held.numel(), device=held.device)
        reached = length.cumsum(0)
        total = int(reached[-1]) if len(reached) else 0
        parts = max(-(-total // MOST_ENTRIES), 1)
        # Pairs by entries of their item's row, never a dense [N, N]; in parts, since long histories read many rows.
        ends = torch.searchsorted(reached, MOST_ENTRIES * torch.arange(1, parts, device=held.device))
        for part in torch.tensor_split(torch.arange(len(row), device=held.device), ends.cpu()):
            count = length[part]
            entry = torch.repeat_interleave(self.starts[item[part]] - (count.cumsum(0) - count), count)
            entry = entry + torch.arange(len(entry), device=entry.device)
            owner = torch.repeat_interleave(row[part], count)
            worth = torch.repeat_interleave(held[row[part], item[part]], count) * self.values[entry]
            spoken.index_add_(0, owner * self.n_items + self.columns[entry], worth)
        spoken = spoken.view_as(held)
        return torch.where(spoken > 0, spoken, self.buyers / (1 + self.buyers.max()) - 1)

    def attention(self, batch: HistoryBatch, candidates: Tensor) -> Tensor:
        """[B, K, L], the share of each event in a candidate's score; 0 where no event speaks for it."""
        weights = self.lookup(batch.items[:, None, :], candidates[:, :, None])  # [B, K, L]
        return shares(weights * self.event_weights(batch)[:, None, :])

    def lookup(self, items: Tensor, candidates: Tensor) -> Tensor:
        """W[item, candidate] of broadcast items 0..N and candidates 0..N; 0 for either 0."""
        real = (items > 0) & (candidates > 0)
        if len(self.columns) == 0:
            return torch.zeros(real.shape, device=real.device)
        rows = torch.repeat_interleave(torch.arange(self.n_items, device=real.device), self.starts.diff())
        keys = rows * self.n_items + self.columns  # rising, since rows and the columns within a row rise
        asked = torch.where(real, (items - 1) * self.n_items + candidates - 1, 0)
        place = torch.searchsorted(keys, asked).clamp_max(len(keys) - 1)
        return torch.where(real & (keys[place] == asked), self.values[place], 0.0)

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        # How many entries W has is known only from what was saved.
        for name in SPARSE:
            if prefix + name in state_dict:
                setattr(self, name, torch.empty_like(state_dict[prefix + name], device=self.buyers.device))
        super()._load_from_state_dict(state_dict, prefix, *args)
