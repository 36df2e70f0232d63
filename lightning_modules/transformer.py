"""A causal transformer over the purchase history: each position predicts the next new item.

A start token that carries the customer's profile stands before the history, so that a customer who never traded gets
scores too. Pre-LN blocks, fixed sinusoidal positions, output tied to the items' vectors.

Sources: Kang and McAuley 2018 (SASRec), https://arxiv.org/abs/1808.09781; Xiong et al. 2020 (pre-LN),
https://arxiv.org/abs/2002.04745
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_modules.attention import MultiHeadAttention
from lightning_modules.examples import TrainingBatch, owned_columns
from lightning_modules.features import FeatureMap, StandardisedFeatures
from lightning_modules.histories import Histories, HistoryBatch
from lightning_modules.losses import softmax_cross_entropy
from lightning_modules.popularity import log_popularity
from lightning_modules.positions import sinusoidal_positions
from lightning_modules.settings import ModelSpec


class Block(nn.Module):
    """Pre-LN: x + attention(norm(x)), then x + feed-forward(norm(x))."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(dim)
        self.attention = MultiHeadAttention(dim, heads, dropout)
        self.forward_norm = nn.LayerNorm(dim)
        self.expand = nn.Linear(dim, dim)
        self.contract = nn.Linear(dim, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, values: Tensor, *, weights: bool = False) -> tuple[Tensor, Tensor | None]:
        """[B, L, D] -> [B, L, D], and the attention [B, H, L, L] if asked.

        No padding mask: padding is on the right, so no real position can see it.
        """
        normed = self.attention_norm(values)
        mixed, given = self.attention(normed, normed, causal=True, weights=weights)
        values = values + self.dropout(mixed)
        inner = self.contract(self.dropout(F.gelu(self.expand(self.forward_norm(values)))))
        return values + self.dropout(inner), given


class CausalTransformer(nn.Module):
    """Ranker of one vocabulary; needs the training set's item features as well as its weights."""

    examples: Literal["purchases", "sequences"] = "sequences"
    item_features: Tensor
    positions: Tensor

    def __init__(self, spec: ModelSpec, histories: Histories) -> None:
        super().__init__()
        self.spec = spec
        self.n_items = histories.n_items
        dim = spec.dim
        profile = len(histories.customer_feature_names)
        self.register_buffer("item_features", histories.item_features.clone(), persistent=False)
        self.register_buffer("positions", sinusoidal_positions(spec.max_length + 1, dim), persistent=False)
        self.item_scale = StandardisedFeatures(len(histories.item_feature_names))
        self.profile_scale = StandardisedFeatures(profile)
        self.items = nn.Embedding(self.n_items + 1, dim)
        nn.init.normal_(self.items.weight, std=dim**-0.5)
        self.from_features = FeatureMap(len(histories.item_feature_names), dim)
        self.start = nn.Parameter(torch.zeros(dim))
        self.from_profile = FeatureMap(profile, dim)
        self.blocks = nn.ModuleList(Block(dim, spec.heads, spec.dropout) for _ in range(spec.blocks))
        self.norm = nn.LayerNorm(dim)
        self.bias = nn.Parameter(torch.zeros(self.n_items))
        self.dropout = nn.Dropout(spec.dropout)

    def prepare(self, histories: Histories, half_life_days: float | None) -> None:
        with torch.no_grad():
            self.item_scale.learn(histories.item_features)
            self.profile_scale.learn(histories.customer_features)
            self.bias.copy_(log_popularity(histories, half_life_days))

    def item_table(self) -> Tensor:
        """[N + 1, D]: learned vector plus what the item's features say; row 0 is padding."""
        features = self.from_features(self.item_scale(self.item_features))
        return self.items.weight + F.pad(features, (0, 0, 1, 0))

    def loss(self, batch: TrainingBatch) -> Tensor:
        table = self.item_table()
        # Position p reads the start token and events 0 .. p - 1, and asks for event p.
        hidden, _ = self._encode(batch.history, table, drop_last=True)  # [B, L, D]
        rows, places = torch.nonzero(batch.weights > 0, as_tuple=True)  # the T real targets, nothing else is scored
        scores = self._scores(hidden[rows, places], table)  # [T, N]
        excluded = owned_columns(batch.owned, self.n_items)[rows]
        return softmax_cross_entropy(scores, batch.targets[rows, places], batch.weights[rows, places], excluded)

    def score(self, batch: HistoryBatch) -> Tensor:
        """[B, N]."""
        table = self.item_table()
        hidden, _ = self._encode(batch, table)
        return self._scores(_last(hidden, batch.lengths), table)

    def attention(self, batch: HistoryBatch, candidates: Tensor) -> Tensor:
        """[B, K, L], the last position's attention of the last block; the same for every candidate."""
        _, given = self._encode(batch, self.item_table(), weights=True)
        assert given is not None
        last = _last(given.mean(1), batch.lengths)[:, 1:]  # [B, L], the start token left out
        last = last * batch.mask
        weights = last / last.sum(1, keepdim=True).clamp_min(torch.finfo(last.dtype).tiny)
        return weights[:, None, :].expand(-1, candidates.shape[1], -1)

    def _encode(
        self, batch: HistoryBatch, table: Tensor, *, drop_last: bool = False, weights: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Hidden states [B, 1 + L, D] (or [B, L, D] without the last event), and the last block's attention."""
        items = batch.items[:, :-1] if drop_last else batch.items
        start = self.start.expand(len(items), 1, -1)
        values = torch.cat([start, table[items]], dim=1)  # [B, 1 + L, D]
        profile = self.from_profile(self.profile_scale(batch.features))  # [B, D]
        values = values + profile[:, None] + self._positions(values.shape[1]) * self.spec.dim**-0.5
        values = self.dropout(values)
        given: Tensor | None = None
        for number, block in enumerate(self.blocks):
            last = number == len(self.blocks) - 1
            values, given = block(values, weights=weights and last)
        return self.norm(values), given

    def _positions(self, length: int) -> Tensor:
        if length <= len(self.positions):
            return self.positions[:length]
        return sinusoidal_positions(length, self.spec.dim).to(self.positions)

    def _scores(self, hidden: Tensor, table: Tensor) -> Tensor:
        """[T, D] x [N, D] -> [T, N]."""
        return hidden @ table[1:].T + self.bias


def _last(values: Tensor, lengths: Tensor) -> Tensor:
    """[B, 1 + L, X] -> [B, X] at the last real position (the start token for an empty history)."""
    return values[torch.arange(len(values), device=values.device), lengths]
