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

from lightning_modules.covisits import covisit_vectors
from lightning_modules.examples import TrainingBatch, owned_columns
from lightning_modules.features import FeatureMap, StandardisedFeatures
from lightning_modules.histories import Histories, HistoryBatch
from lightning_modules.losses import softmax_cross_entropy
from lightning_modules.popularity import log_popularity
from lightning_modules.ranker import Examples, no_attention
from lightning_modules.settings import ModelSpec


class GRU4Rec(nn.Module):
    """Ranker of one vocabulary; needs the training set's item features as well as its weights."""

    examples: Examples = "sequences"
    item_features: Tensor

    def __init__(self, spec: ModelSpec, histories: Histories) -> None:
        super().__init__()
        self.spec = spec
        self.n_items = histories.n_items
        dim = spec.dim
        profile = len(histories.customer_feature_names)
        self.register_buffer("item_features", histories.item_features.clone(), persistent=False)
        self.item_scale = StandardisedFeatures(len(histories.item_feature_names))
        self.profile_scale = StandardisedFeatures(profile)
        self.items = nn.Embedding(self.n_items + 1, dim)
        nn.init.normal_(self.items.weight, std=dim**-0.5)
        self.from_features = FeatureMap(len(histories.item_feature_names), dim)
        self.start = nn.Parameter(torch.zeros(dim))
        self.from_profile = FeatureMap(profile, dim)
        # Between the layers of one nn.GRU only; its input and output are dropped out here.
        between = spec.dropout if spec.blocks > 1 else 0.0
        self.reader = nn.GRU(dim, dim, num_layers=spec.blocks, batch_first=True, dropout=between)
        self.norm = nn.LayerNorm(dim)
        self.bias = nn.Parameter(torch.zeros(self.n_items))
        self.dropout = nn.Dropout(spec.dropout)

    def prepare(self, histories: Histories, half_life_days: float | None) -> None:
        with torch.no_grad():
            self.item_scale.learn(histories.item_features)
            self.profile_scale.learn(histories.customer_features)
            self.bias.copy_(log_popularity(histories, half_life_days))
            if self.spec.item_start == "covisits":
                self.items.weight[1:] = covisit_vectors(histories, self.spec.dim)

    def item_table(self) -> Tensor:
        """[N + 1, D]: learned vector plus what the item's features say; row 0 is padding."""
        features = self.from_features(self.item_scale(self.item_features))
        table = self.items.weight + F.pad(features, (0, 0, 1, 0))
        return table if self.spec.cosine_scale is None else F.normalize(table, dim=1)

    def loss(self, batch: TrainingBatch) -> Tensor:
        table = self.item_table()
        hidden = self._read(batch.history, table)[:, :-1]  # [B, L, D]: position p has read the events before p
        rows, places = torch.nonzero(batch.weights > 0, as_tuple=True)  # the T real targets
        scores = self._scores(hidden[rows, places], table)  # [T, N]
        excluded = owned_columns(batch.owned, self.n_items)[rows]
        return softmax_cross_entropy(scores, batch.targets[rows, places], batch.weights[rows, places], excluded)

    def score(self, batch: HistoryBatch) -> Tensor:
        """[B, N]."""
        table = self.item_table()
        hidden = self._read(batch, table)
        last = hidden[torch.arange(len(hidden), device=hidden.device), batch.lengths]  # the start token if empty
        return self._scores(last, table)

    def attention(self, batch: HistoryBatch, candidates: Tensor) -> Tensor:
        """[B, K, L] of zeros: a recurrent state does not look back at single events."""
        return no_attention(batch, candidates)

    def _read(self, batch: HistoryBatch, table: Tensor) -> Tensor:
        """Hidden states [B, 1 + L, D]: what is known before the first event, after it, ..."""
        values = torch.cat([self.start.expand(len(batch.items), 1, -1), table[batch.items]], dim=1)
        values = values + self.from_profile(self.profile_scale(batch.features))[:, None]
        hidden: Tensor = self.reader(self.dropout(values))[0]
        hidden = self.norm(self.dropout(hidden))
        if self.spec.cosine_scale is not None:
            hidden = self.spec.cosine_scale * F.normalize(hidden, dim=-1)
        return hidden

    def _scores(self, hidden: Tensor, table: Tensor) -> Tensor:
        """[T, D] x [N, D] -> [T, N]."""
        return hidden @ table[1:].T + self.bias
