"""Sequential attention: the customer's present context asks his whole history, and an MLP joins the answer to each item.

For customer u with history items l, and item i::

    q(u) = norm(profile + last item + mean of the last five)
    a[h, l] = softmax over l of q[h] . k[h, l] / sqrt d + decay and regime of l
    c(u) = q(u) + W sum over l of a[h, l] v[h, l]
    score(u, i) = bias + c . i + w . relu(A c + B i)                      (+ what the regime favours, if asked for)

The MLP's first layer is split into the context's part and the item's part, so a pair costs one hidden layer's width and
no matrix product. All items share one attention, which is what :meth:`attention` returns.

For ablations: with ``spec.attention`` "uniform" all weights a are alike and the rest stands; "pooled" has no maps q, k, v, W
either: c(u) is q(u)'s unmapped context plus the history's mean vector.

Sources: Li et al. 2017 (NARM), https://arxiv.org/abs/1711.04725; Liu et al. 2018 (STAMP: the last item asks),
https://doi.org/10.1145/3219819.3219950; He et al. 2017 (NCF: MLP over user and item), https://arxiv.org/abs/1708.05031
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from lightning_modules.attention import attend, most_recent, split_heads
from lightning_modules.examples import TrainingBatch, owned_columns
from lightning_modules.features import FeatureMap, ItemVectors, StandardisedFeatures
from lightning_modules.histories import Histories, HistoryBatch
from lightning_modules.losses import softmax_cross_entropy
from lightning_modules.market_states import MarketView
from lightning_modules.score_modifiers import RegimeFactor, ScoreModifiers, age_and_regime, key_facts
from lightning_modules.settings import ModelSpec

RECENT = 5
# Pairs of customer and item whose hidden layer is held at a time where no gradient needs it.
PAIRS = 100_000


class SequentialAttention(nn.Module):
    """Ranker of one vocabulary; needs the training set's item features and market as well as its weights."""

    examples: Literal["purchases"] = "purchases"

    def __init__(self, spec: ModelSpec, histories: Histories) -> None:
        super().__init__()
        self.spec = spec
        self.n_items = histories.n_items
        dim, profile = spec.dim, len(histories.customer_feature_names)
        self.items = ItemVectors(histories, dim, spec.item_features)
        self.market = MarketView(histories.market)
        self.profile_scale = StandardisedFeatures(profile)
        self.from_profile = FeatureMap(profile, dim)
        self.from_last = nn.Linear(dim, dim, bias=False)
        self.from_recent = nn.Linear(dim, dim, bias=False)
        self.norm = nn.LayerNorm(dim)
        pooled = spec.attention == "pooled"
        self.query = nn.Identity() if pooled else nn.Linear(dim, dim)
        self.key, self.value = (nn.Identity() if pooled else nn.Linear(dim, dim, bias=False) for _ in range(2))
        self.modifiers = ScoreModifiers(age_and_regime(spec, spec.heads))
        self.output = nn.Identity() if pooled else nn.Linear(dim, dim, bias=False)
        self.of_context = nn.Linear(dim, spec.mlp_dim)
        self.of_item = nn.Linear(dim, spec.mlp_dim, bias=False)
        self.hidden = nn.Parameter(torch.randn(spec.mlp_dim) * 0.1 * spec.mlp_dim**-0.5)
        self.turn = RegimeFactor(spec.regime_strength, spec.regime == "learned") if spec.regime != "off" else None
        self.dropout = nn.Dropout(spec.dropout)

    def prepare(self, histories: Histories, half_life_days: float | None) -> None:
        with torch.no_grad():
            self.items.prepare(histories, half_life_days, self.spec.item_start)
            self.profile_scale.learn(histories.customer_features)

    def loss(self, batch: TrainingBatch) -> Tensor:
        excluded = owned_columns(batch.owned, self.n_items)
        return softmax_cross_entropy(self.score(batch.history), batch.targets, batch.weights, excluded)

    def score(self, batch: HistoryBatch) -> Tensor:
        """[B, N]."""
        table = self.items()
        context, _ = self._context(batch, table)
        scores = context @ table[1:].T + self._interaction(context, table[1:]) + self.items.bias
        return scores if self.turn is None else scores + self.turn.of(self.market.affinity(batch.now))

    def attention(self, batch: HistoryBatch, candidates: Tensor) -> Tensor:
        """[B, K, L], the mean over heads; the same for every candidate."""
        return self.head_attention(batch, candidates)[:, :, 0].mean(2)

    @property
    def head_names(self) -> tuple[str, ...]:
        return tuple(f"head {number + 1}" for number in range(self.spec.heads))

    def head_attention(self, batch: HistoryBatch, candidates: Tensor) -> Tensor:
        """[B, K, 1, H, L], the same for every candidate."""
        _, weights = self._context(batch, self.items(), weights=True)
        assert weights is not None
        return weights.transpose(1, 2)[:, :, None].expand(-1, candidates.shape[1], -1, -1, -1)

    def _context(self, batch: HistoryBatch, table: Tensor, *, weights: bool = False) -> tuple[Tensor, Tensor | None]:
        """[B, D], and the attention [B, H, 1, L] if asked."""
        read = self.dropout(table[batch.items])  # [B, L, D]
        last = (read * most_recent(batch.mask, 1)[..., None]).sum(1)
        recent = most_recent(batch.mask, RECENT).to(read.dtype)
        mean = (read * recent[..., None]).sum(1) / recent.sum(1, keepdim=True).clamp_min(1)
        profile = self.from_profile(self.profile_scale(batch.features))
        asked = self.norm(profile + self.from_last(last) + self.from_recent(mean))  # [B, D]
        heads, learned = self.spec.heads, self.spec.attention == "learned"
        query = self.query(asked)
        found, given = attend(
            split_heads((query if learned else torch.zeros_like(query))[:, None], heads),  # [B, H, 1, d]
            split_heads(self.key(read), heads),
            split_heads(self.value(read), heads),
            mask=batch.mask[:, None, None],
            key_bias=self.modifiers(key_facts(batch, self.market)) if learned else None,
            top_k=self.spec.top_k or None,
            weights=weights,
        )
        return asked + self.output(found.transpose(1, 2).flatten(1)), given

    def _interaction(self, context: Tensor, items: Tensor) -> Tensor:
        """w . relu(A c + B i) of every pair, [B, N]; without gradients in slices, so that memory stays bounded."""
        mine, theirs = self.of_context(self.dropout(context)), self.of_item(items)  # [B, m], [N, m]
        if torch.is_grad_enabled():
            return torch.relu(mine[:, None] + theirs) @ self.hidden
        rows = max(1, PAIRS // len(items))
        return torch.cat([torch.relu(part[:, None] + theirs) @ self.hidden for part in mine.split(rows)])
