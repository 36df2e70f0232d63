"""GRU4Rec: the recurrent baseline. A gated recurrent unit reads the history; each position predicts the next new item.

The same start token, item table, tied output and loss as the transformer, so that the two differ in what reads the
history and in nothing else. Padding stands on the right: no real position can see it.

Sources: Hidasi et al. 2016, https://arxiv.org/abs/1511.06939; full softmax and tied output as in Klenitskiy and
Vasilev 2023, https://arxiv.org/abs/2309.07602
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_modules.examples import TrainingBatch, owned_columns
from lightning_modules.histories import Histories, HistoryBatch
from lightning_modules.item_table import ItemTable
from lightning_modules.objective import Questions, full_softmax
from lightning_modules.ranker import Examples, no_attention
from lightning_modules.settings import ModelSpec


class GRU4Rec(ItemTable):
    """Ranker of one vocabulary; needs the training set's item features as well as its weights."""

    examples: Examples = "sequences"

    def __init__(self, spec: ModelSpec, histories: Histories) -> None:
        super().__init__(spec, histories)
        dim = spec.dim
        # nn.GRU drops out between its layers only; its input and output are dropped out here.
        between = spec.dropout if spec.blocks > 1 else 0.0
        self.reader = nn.GRU(dim, dim, num_layers=spec.blocks, batch_first=True, dropout=between)
        self.norm = nn.LayerNorm(dim)

    def questions(self, batch: TrainingBatch) -> Questions:
        table = self.item_table()
        # Position p has read the start token and events 0 .. p - 1, and is asked for event p; of L + 1 the last is not asked.
        hidden = self._read(batch.history, table)[:, :-1]
        owner, places = torch.nonzero(batch.weights > 0, as_tuple=True)  # the T real targets
        asked = hidden[owner, places]  # [T, D]
        return Questions(
            asked.to(torch.bfloat16) if self.spec.precision == "bfloat16" else asked,
            table[1:],
            self.bias,
            batch.targets[owner, places],
            batch.weights[owner, places],
            owner,
            owned_columns(batch.owned, self.n_items) if self.spec.exclude_owned else None,
        )

    def loss(self, batch: TrainingBatch) -> Tensor:
        return full_softmax(self.questions(batch))

    def score(self, batch: HistoryBatch) -> Tensor:
        """[B, N]."""
        table = self.item_table()
        hidden = self._read(batch, table)
        last = hidden[torch.arange(len(hidden), device=hidden.device), batch.lengths]  # the start token if empty
        scores = last @ table[1:].T
        return scores if self.bias is None else scores + self.bias

    def attention(self, batch: HistoryBatch, candidates: Tensor) -> Tensor:
        """[B, K, L] of zeros: a recurrent state does not look back at single events."""
        return no_attention(batch, candidates)

    def _read(self, batch: HistoryBatch, table: Tensor) -> Tensor:
        """Hidden states [B, 1 + L, D]: what is known before the first event, after it, ..."""
        values = table[F.pad(batch.items, (1, 0))]
        if self.spec.profile:
            values = values + self.from_profile(self.profile_scale(batch.features))[:, None]
        hidden = self.norm(self.dropout(self.reader(self.dropout(values))[0]))
        return hidden if self.spec.cosine_scale is None else self.spec.cosine_scale * F.normalize(hidden, dim=-1)
