"""Attention-CF: item attention over what the customer holds, user attention over who holds the candidate.

For customer u, candidate c and u's history items l::

    item(u, c) = n^p * sum_h sum_l a[h, c, l] * (v[h, l] . o[h, c])     a = softmax over l of q[h, c] . k[h, l] + bias
    user(u, c) = sum_j w[j] * (s_u . r_j)                               w = softmax over holders j of c, never u himself
    score(u, c) = popularity bias + profile(u) . c + item * (1 + t * tanh(user)) + g * user

The candidate is the query of the item attention, so ``item`` is exactly a sum of one term per holding. The bias of a
weight falls with the holding's age in days (a learned rate per head) and depends on the customer's profile.

The work is in [H, B, L, N] tables of weights and values; nothing of size [B, N, L, D] is ever made.

Sources: He et al. 2018 (NAIS), https://arxiv.org/abs/1809.07053; Chen et al. 2017 (ACF, attention over
both sides), https://doi.org/10.1145/3077136.3080797
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_modules.attention import masked_softmax
from lightning_modules.examples import TrainingBatch, owned_columns
from lightning_modules.features import FeatureMap, StandardisedFeatures
from lightning_modules.histories import Histories, HistoryBatch
from lightning_modules.holders import Holders, most_recent_holders
from lightning_modules.losses import softmax_cross_entropy
from lightning_modules.popularity import log_popularity
from lightning_modules.settings import ModelSpec


class AttentionCF(nn.Module):
    """Ranker of one vocabulary; needs the training set itself (item features, holders) as well as its weights."""

    examples: Literal["purchases", "sequences"] = "purchases"
    item_features: Tensor

    def __init__(self, spec: ModelSpec, histories: Histories) -> None:
        super().__init__()
        self.spec = spec
        self.n_items = histories.n_items
        dim, heads = spec.dim, spec.heads
        profile = len(histories.customer_feature_names)
        self.register_buffer("item_features", histories.item_features.clone(), persistent=False)
        self.item_scale = StandardisedFeatures(len(histories.item_feature_names))
        self.profile_scale = StandardisedFeatures(profile)
        # Row 0 is padding; it is never a candidate and its attention is masked.
        self.items = nn.Embedding(self.n_items + 1, dim)
        nn.init.normal_(self.items.weight, std=dim**-0.5)
        self.from_features = FeatureMap(len(histories.item_feature_names), dim)
        self.query = nn.Linear(dim, dim, bias=False)
        self.key = nn.Linear(dim, dim, bias=False)
        self.value = nn.Linear(dim, dim, bias=False)
        self.profile_query = FeatureMap(profile, dim)
        self.profile_item = FeatureMap(profile, dim)
        self.age_rate = nn.Parameter(torch.full((heads,), -2.0))  # softplus of it, per unit of log(1 + days / 30)
        self.length_power = nn.Parameter(torch.tensor(0.5))  # 0 averages the holdings, 1 adds them up
        self.bias = nn.Parameter(torch.zeros(self.n_items))
        self.dropout = nn.Dropout(spec.dropout)
        self.person = nn.Linear(dim, spec.holder_dim, bias=False)
        self.person_profile = FeatureMap(profile, spec.holder_dim)
        self.asks = nn.Linear(spec.holder_dim, spec.holder_dim, bias=False)
        self.likes = nn.Linear(spec.holder_dim, spec.holder_dim, bias=False)
        self.gate = nn.Parameter(torch.tensor(1.0))
        self.interaction = nn.Parameter(torch.tensor(0.0))
        self._register_holders(most_recent_holders(histories, spec.holders))

    def _register_holders(self, holders: Holders) -> None:
        for name in Holders.__dataclass_fields__:
            self.register_buffer(f"holder_{name}", getattr(holders, name), persistent=False)

    @property
    def holders(self) -> Holders:
        """The holders' table, on the model's device."""
        return Holders(**{name: getattr(self, f"holder_{name}") for name in Holders.__dataclass_fields__})

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
        excluded = owned_columns(batch.owned, self.n_items)
        return softmax_cross_entropy(self.score(batch.history), batch.targets, batch.weights, excluded)

    def score(self, batch: HistoryBatch) -> Tensor:
        """[B, N]."""
        table = self.item_table()
        candidates = table[1:]
        read = self.dropout(table[batch.items])  # [B, L, D]
        profile = self.profile_scale(batch.features)  # [B, G]
        item = self._item_term(batch, read, profile, candidates)
        static = self.bias + self.profile_item(profile) @ candidates.T  # [B, N]
        if len(self.holders.columns) == 0:
            return static + item
        user = self._user_term(batch, read, profile, table)
        return static + item * (1 + self.interaction * torch.tanh(user)) + self.gate * user

    def attention(self, batch: HistoryBatch, candidates: Tensor) -> Tensor:
        """[B, K, L], the mean over heads of the item attention's weights."""
        table = self.item_table()
        queries = self._heads(self.query(table[candidates]))  # [B, K, H, d]
        keys = self._heads(self.key(table[batch.items]))  # [B, L, H, d]
        scores = torch.einsum("bkhd,blhd->hbkl", queries, keys) / math.sqrt(queries.shape[-1])
        bias = self._bias(batch, keys, self.profile_scale(batch.features))  # [H, B, L]
        return masked_softmax(scores + bias[:, :, None, :], batch.mask[None, :, None, :]).mean(0)

    def _heads(self, values: Tensor) -> Tensor:
        """[..., D] -> [..., H, d]."""
        return values.unflatten(-1, (self.spec.heads, -1))

    def _bias(self, batch: HistoryBatch, keys: Tensor, profile: Tensor) -> Tensor:
        """[H, B, L], what is added to a holding's score whatever the candidate: its age and the profile."""
        asked = self._heads(self.profile_query(profile))  # [B, H, d]
        by_profile = torch.einsum("bhd,blhd->hbl", asked, keys) / math.sqrt(keys.shape[-1])
        months = torch.log1p((batch.now[:, None] - batch.days).clamp_min(0).to(keys.dtype) / 30.0)  # [B, L]
        return by_profile - F.softplus(self.age_rate)[:, None, None] * months

    def _item_term(self, batch: HistoryBatch, read: Tensor, profile: Tensor, candidates: Tensor) -> Tensor:
        """[B, N], exactly a sum over the holdings."""
        spread = 1 / math.sqrt(read.shape[-1] // self.spec.heads)
        keys = self._heads(self.key(read))  # [B, L, H, d]
        # Padding has weight 0, or, where all is padding, value 0: masking these small tables spares the large ones.
        values = self._heads(self.value(read) * batch.mask[..., None])
        bias = self._bias(batch, keys, profile).masked_fill(~batch.mask, torch.finfo(read.dtype).min)
        # [H, B L, d] x [H, d, N] -> [H, B, L, N]: candidates last, so that every pass runs over whole rows of memory
        scores = torch.baddbmm(bias.flatten(1)[..., None], self._rows(keys * spread), self._columns(self.query(candidates)))
        weights = torch.softmax(scores.unflatten(1, batch.items.shape), dim=2)
        worth = torch.bmm(self._rows(values), self._columns(candidates)).unflatten(1, batch.items.shape)
        held = batch.mask.sum(1).clamp_min(1).to(read.dtype)
        return (weights * worth).sum((0, 2)) * (held**self.length_power)[:, None]

    @staticmethod
    def _rows(values: Tensor) -> Tensor:
        """[B, L, H, d] -> [H, B L, d]."""
        return values.permute(2, 0, 1, 3).flatten(1, 2)

    def _columns(self, candidates: Tensor) -> Tensor:
        """[N, D] -> [H, d, N]."""
        return self._heads(candidates).permute(1, 2, 0)

    def _user_term(self, batch: HistoryBatch, read: Tensor, profile: Tensor, table: Tensor) -> Tensor:
        """[B, N], 0 for items with too few holders."""
        holders = self.holders
        # A person is the mean of his items plus his profile, in a narrow space.
        held = batch.mask.to(read.dtype)
        mean = (read * held[..., None]).sum(1) / held.sum(1, keepdim=True).clamp_min(1)
        person = self.person(mean) + self.person_profile(profile)  # [B, p]
        bags = F.embedding_bag(holders.items, self.person(table), holders.starts, mode="mean")
        people = bags + self.person_profile(self.profile_scale(holders.features))  # [U, p]
        spread = 1 / math.sqrt(person.shape[-1])
        # [B, p] x [n K, p] -> [B, n, K]: looking holders up before the product keeps the backward pass in matmuls
        asked_people = people[holders.slots.flatten()].T * spread  # [p, n K]
        asked = (self.asks(person) @ asked_people).unflatten(1, holders.slots.shape)
        liked = (self.likes(person) @ asked_people).unflatten(1, holders.slots.shape)
        himself = holders.customers[holders.slots] == batch.customers[:, None, None]  # [B, n, K]
        weights = masked_softmax(asked, holders.real & ~himself)
        user = (weights * liked).sum(-1)  # [B, n]
        return user.new_zeros(len(user), self.n_items).index_copy(1, holders.columns, user)
