"""Attention-CF: item attention over what the customer holds, user attention over who holds the candidate.

For customer u, candidate c and u's history items l::

    item(u, c) = n^p * sum_h sum_l a[h, c, l] * (v[h, l] . o[h, c])     a = softmax over l of q[h, c] . k[h, l] + bias
    user(u, c) = sum_j w[j] * (s_u . r_j)                               w = softmax over holders j of c, never u himself
    score(u, c) = popularity bias + profile(u) . c + item * (1 + t * tanh(user)) + g * user

The candidate is the query of the item attention, so ``item`` is exactly a sum of one term per holding. The bias of a
weight falls with the holding's age in days (a learned rate per head) and depends on the customer's profile.

For ablations: with ``spec.attention`` "uniform" all weights a and w are alike and the rest stands; "pooled" has no maps q,
k, v, s, r either, so that ``item`` is the holdings' mean vector times the candidate's. ``spec.item_side`` False leaves
``item`` out.

With ``spec.candidates`` a retrieval stage (:mod:`lightning_modules.retrieval`) picks that many items per customer and
only they are scored, to the same numbers; the rest of a large catalogue stands below them, by popularity. The loss is
then over the candidates and the target.

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
from lightning_modules.candidate_attention import candidate_attention, candidate_weights
from lightning_modules.examples import TrainingBatch, owned_columns
from lightning_modules.features import FeatureMap, ItemVectors, StandardisedFeatures
from lightning_modules.histories import Histories, HistoryBatch
from lightning_modules.holders import Holders, most_recent_holders
from lightning_modules.losses import softmax_cross_entropy
from lightning_modules.market_states import MarketView
from lightning_modules.ranker import no_attention
from lightning_modules.retrieval import Retrieval, spread
from lightning_modules.score_modifiers import RegimeFactor, ScoreModifiers, age_and_regime, key_facts
from lightning_modules.settings import ModelSpec


class AttentionCF(nn.Module):
    """Ranker of one vocabulary; needs the training set itself (item features, holders) as well as its weights."""

    examples: Literal["purchases"] = "purchases"
    holder_rows: Tensor

    def __init__(self, spec: ModelSpec, histories: Histories) -> None:
        super().__init__()
        self.spec = spec
        self.n_items = histories.n_items
        dim = spec.dim
        profile = len(histories.customer_feature_names)
        self.items = ItemVectors(histories, dim, spec.item_features)
        self.market = MarketView(histories.market)
        self.profile_scale = StandardisedFeatures(profile)
        pooled = spec.attention == "pooled"
        self.query, self.key, self.value = (_map(dim, pooled) for _ in range(3))
        self.profile_query = FeatureMap(profile, dim)
        self.profile_item = FeatureMap(profile, dim)
        self.modifiers = ScoreModifiers(age_and_regime(spec, spec.heads))
        self.length_power = nn.Parameter(torch.tensor(0.5))  # 0 averages the holdings, 1 adds them up
        self.turn = RegimeFactor(spec.regime_strength, spec.regime == "learned") if spec.regime != "off" else None
        self.dropout = nn.Dropout(spec.dropout)
        self.person = nn.Linear(dim, spec.holder_dim, bias=False)
        self.person_profile = FeatureMap(profile, spec.holder_dim)
        self.asks, self.likes = (_map(spec.holder_dim, pooled) for _ in range(2))
        self.gate = nn.Parameter(torch.tensor(1.0))
        self.interaction = nn.Parameter(torch.tensor(0.0))
        self._register_holders(most_recent_holders(histories, spec.holders))
        self.retrieval = Retrieval(histories, spec.candidates) if 0 < spec.candidates < self.n_items else None

    def _register_holders(self, holders: Holders) -> None:
        for name in Holders.__dataclass_fields__:
            self.register_buffer(f"holder_{name}", getattr(holders, name), persistent=False)
        rows = torch.full((self.n_items + 1,), -1, dtype=torch.int64)
        rows[holders.columns + 1] = torch.arange(len(holders.columns))
        self.register_buffer("holder_rows", rows, persistent=False)

    @property
    def holders(self) -> Holders:
        """The holders' table, on the model's device."""
        return Holders(**{name: getattr(self, f"holder_{name}") for name in Holders.__dataclass_fields__})

    def prepare(self, histories: Histories, half_life_days: float | None) -> None:
        with torch.no_grad():
            self.items.prepare(histories, half_life_days, self.spec.item_start)
            self.profile_scale.learn(histories.customer_features)
            if self.spec.item_start == "covisits":
                # A holding then speaks for a candidate as far as they lie in one direction: where learning begins.
                for layer in (self.query, self.key, self.value):
                    if isinstance(layer, nn.Linear):
                        nn.init.eye_(layer.weight)

    def loss(self, batch: TrainingBatch) -> Tensor:
        excluded = owned_columns(batch.owned, self.n_items)
        if self.retrieval is None:
            return softmax_cross_entropy(self.score(batch.history), batch.targets, batch.weights, excluded)
        # The target stands first; where it is retrieved as well, that second copy is no competitor of the first.
        chosen = self.retrieval(batch.history, self.items())
        asked = torch.cat([batch.targets[:, None] + 1, chosen], 1)
        barred = excluded.gather(1, asked - 1) | (asked == asked[:, :1])
        first = torch.zeros_like(batch.targets)
        return softmax_cross_entropy(self.score_candidates(batch.history, asked), first, batch.weights, barred)

    def score(self, batch: HistoryBatch) -> Tensor:
        """[B, N]."""
        if self.retrieval is not None:
            chosen = self.retrieval(batch, self.items())
            return spread(self.score_candidates(batch, chosen), chosen, self.retrieval.popularity)
        return self._score(batch, None)

    def score_candidates(self, batch: HistoryBatch, candidates: Tensor) -> Tensor:
        """Candidates [B, C] (items 1..N) -> their scores [B, C], without looking at any other item."""
        return self._score(batch, candidates)

    def _score(self, batch: HistoryBatch, candidates: Tensor | None) -> Tensor:
        """[B, N], or [B, C] for each customer's own candidates."""
        table = self.items()
        read = self.dropout(table[batch.items])  # [B, L, D]
        profile = self.profile_scale(batch.features)  # [B, G]
        told = self.profile_item(profile)  # [B, D]
        if candidates is None:
            offered, static = table[1:], self.items.bias + told @ table[1:].T
        else:
            offered = table[candidates]  # [B, C, D]
            static = self.items.bias[candidates - 1] + (offered @ told[..., None])[..., 0]
        if self.turn is not None:
            static = static + self.turn.of(self.market.affinity(batch.now, candidates))
        if not self.spec.item_side:
            return static + self.gate * self._user_term(batch, read, profile, table, candidates)
        item = self._item_term(batch, read, profile, offered)
        if len(self.holders.columns) == 0:
            return static + item
        user = self._user_term(batch, read, profile, table, candidates)
        return static + item * (1 + self.interaction * torch.tanh(user)) + self.gate * user

    def attention(self, batch: HistoryBatch, candidates: Tensor) -> Tensor:
        """[B, K, L], the mean over heads of the item attention's weights; 0 for an item that was not retrieved."""
        return self.head_attention(batch, candidates)[:, :, 0].mean(2)

    @property
    def head_names(self) -> tuple[str, ...]:
        return tuple(f"head {number + 1}" for number in range(self.spec.heads))

    def head_attention(self, batch: HistoryBatch, candidates: Tensor) -> Tensor:
        """[B, K, 1, H, L], the item attention; 0 for an item that was not retrieved, and where the item side is left out."""
        if not self.spec.item_side:
            return no_attention(batch, candidates)[:, :, None, None].expand(-1, -1, 1, self.spec.heads, -1)
        table = self.items()
        keys = self._heads(self.key(table[batch.items]))  # [B, L, H, d]
        bias = self._bias(batch, keys, self.profile_scale(batch.features))
        asked = self._asked(table[candidates])
        weights = candidate_weights(asked, keys, bias, batch.mask, top_k=self.spec.top_k or None)  # [B, H, K, L]
        weights = weights.transpose(1, 2)[:, :, None]
        if self.retrieval is None:
            return weights
        scored = owned_columns(self.retrieval(batch, table), self.n_items).gather(1, (candidates - 1).clamp_min(0))
        return weights * scored[:, :, None, None, None]

    def _heads(self, values: Tensor) -> Tensor:
        """[..., D] -> [..., H, d]."""
        return values.unflatten(-1, (self.spec.heads, -1))

    def _asked(self, candidates: Tensor) -> Tensor:
        """[..., D] -> queries [..., H, d]; of zeros where every holding is to weigh alike."""
        asked = self._heads(self.query(candidates))
        return asked if self.spec.attention == "learned" else torch.zeros_like(asked)

    def _bias(self, batch: HistoryBatch, keys: Tensor, profile: Tensor) -> Tensor:
        """[B, H, L], what is added to a holding's score whatever the candidate: its age, the regime and the profile."""
        if self.spec.attention != "learned":
            return keys.new_zeros(len(keys), self.spec.heads, keys.shape[1])
        asked = self._heads(self.profile_query(profile))  # [B, H, d]
        by_profile = torch.einsum("bhd,blhd->bhl", asked, keys) / math.sqrt(keys.shape[-1])
        added = self.modifiers(key_facts(batch, self.market))
        return by_profile if added is None else by_profile + added

    def _item_term(self, batch: HistoryBatch, read: Tensor, profile: Tensor, candidates: Tensor) -> Tensor:
        """Candidates [N, D] or [B, N, D] -> [B, N], exactly a sum over the holdings."""
        keys = self._heads(self.key(read))  # [B, L, H, d]
        terms = candidate_attention(
            self._asked(candidates),
            self._heads(candidates),
            keys,
            self._heads(self.value(read)),
            self._bias(batch, keys, profile),
            batch.mask,
            top_k=self.spec.top_k or None,
        )  # [B, H, N]
        held = batch.mask.sum(1).clamp_min(1).to(read.dtype)
        return terms.sum(1) * (held**self.length_power)[:, None]

    def _user_term(
        self, batch: HistoryBatch, read: Tensor, profile: Tensor, table: Tensor, candidates: Tensor | None = None
    ) -> Tensor:
        """[B, N], or [B, C] for each customer's own candidates; 0 for items with too few holders."""
        holders = self.holders
        # A person is the mean of his items plus his profile, in a narrow space.
        held = batch.mask.to(read.dtype)
        mean = (read * held[..., None]).sum(1) / held.sum(1, keepdim=True).clamp_min(1)
        person = self.person(mean) + self.person_profile(profile)  # [B, p]
        bags = F.embedding_bag(holders.items, self.person(table), holders.starts, mode="mean")
        people = bags + self.person_profile(self.profile_scale(holders.features))  # [U, p]
        people = people * (1 / math.sqrt(person.shape[-1]))
        if candidates is None:
            # [B, p] x [n K, p] -> [B, n, K]: looking holders up before the product keeps the backward pass in matmuls
            slots, real = holders.slots, holders.real
            asked_people = people[slots.flatten()].T  # [p, n K]
            asked = (self.asks(person) @ asked_people).unflatten(1, slots.shape)
            liked = (self.likes(person) @ asked_people).unflatten(1, slots.shape)
        else:
            row = self.holder_rows[candidates]  # [B, C]; -1: too few holders
            slots, real = holders.slots[row.clamp_min(0)], holders.real[row.clamp_min(0)] & (row >= 0)[..., None]
            theirs = people[slots.flatten(1)].transpose(1, 2)  # [B, p, C K]
            asked = (self.asks(person)[:, None] @ theirs)[:, 0].unflatten(1, slots.shape[1:])
            liked = (self.likes(person)[:, None] @ theirs)[:, 0].unflatten(1, slots.shape[1:])
        if self.spec.attention != "learned":
            asked = torch.zeros_like(asked)
        himself = holders.customers[slots] == batch.customers[:, None, None]  # [B, n, K]
        weights = masked_softmax(asked, real & ~himself)
        user = (weights * liked).sum(-1)  # [B, n]
        if candidates is not None:
            return user
        return user.new_zeros(len(user), self.n_items).index_copy(1, holders.columns, user)


def _map(dim: int, pooled: bool) -> nn.Module:
    """A square map without offset; none where vectors are pooled as they are."""
    return nn.Identity() if pooled else nn.Linear(dim, dim, bias=False)
