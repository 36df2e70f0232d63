"""Portfolio attention: what a candidate is (its features) against what the customer holds, feature by feature.

Every item is one vector per feature group f (class, sector, yield, volatility, momentum, ...) and one more, "buyers",
learned from who buys it. For customer u, candidate c and holdings l::

    a[f, c, l] = softmax over l of q[f, c] . k[f, l] / sqrt d + power * log(1 + value of l) + decay and regime of l
    found[f, c] = sum over l of a[f, c, l] (v[f, l] . o[f, c])              what the holdings say of the candidate's f
    told[f, c] = p[f, u] . o[f, c]                                          what the profile says of it
    b[c, f] = softmax over f of t(u) . s[f, c]                              feature attention
    score(u, c) = base(c) + F * sum over f of b[c, f] (n^p found[f, c] + told[f, c])

So a score is exactly a sum over (holding, feature) with weights b[c, f] a[f, c, l], plus the profile's part, and both
attentions are read off from the very terms of the score.

An asset that nobody has bought yet has no "buyers" group and no popularity: its base is what its features predict, and
its feature attention falls on the groups it has. So that the features learn to stand alone, training now and then
hides the "buyers" group of some items; and it never counts a cold item as a refused one.

For ablations: with ``spec.attention`` "uniform" all weights a, and all b among the groups an item has, are alike and the rest
stands; "pooled" has no maps q, k, v, s either. Without ``spec.item_features`` "buyers" is the only group.

Sources: Xiao et al. 2017 (AFM: attention over feature terms), https://arxiv.org/abs/1708.04617; He et al. 2018 (NAIS),
https://arxiv.org/abs/1809.07053; Volkovs et al. 2017 (DropoutNet), https://papers.nips.cc/paper/7081
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_modules.attention import masked_softmax
from lightning_modules.candidate_attention import candidate_attention, candidate_weights
from lightning_modules.covisits import covisit_vectors
from lightning_modules.examples import TrainingBatch, owned_columns
from lightning_modules.feature_groups import BUYERS, feature_groups
from lightning_modules.features import FeatureMap, StandardisedFeatures
from lightning_modules.histories import Histories, HistoryBatch
from lightning_modules.losses import softmax_cross_entropy
from lightning_modules.market_states import MarketView
from lightning_modules.popularity import log_popularity
from lightning_modules.score_modifiers import RegimeFactor, ScoreModifiers, ValueWeight, age_and_regime, key_facts
from lightning_modules.settings import ModelSpec

HIDDEN_SHARE = 0.3  # of the items, whose "buyers" group a training step does not see


@dataclass(frozen=True)
class Catalogue:
    """The items as one step sees them."""

    groups: Tensor  # [N + 1, F, d], row 0 is padding
    present: Tensor  # [N + 1, F] bool: which groups an item has
    base: Tensor  # [N]


class PortfolioAttention(nn.Module):
    """Ranker of one vocabulary; needs the training set's item features and market as well as its weights."""

    examples: Literal["purchases"] = "purchases"
    item_features: Tensor
    warm: Tensor

    def __init__(self, spec: ModelSpec, histories: Histories) -> None:
        super().__init__()
        self.spec = spec
        self.n_items = histories.n_items
        names = histories.item_feature_names
        groups = feature_groups(names) if spec.item_features else {}
        self.feature_names = (*groups, BUYERS)
        self._columns = tuple(groups.values())
        width, count, profile = spec.feature_dim, len(self.feature_names), len(histories.customer_feature_names)
        self.register_buffer("item_features", histories.item_features.clone(), persistent=False)
        bought = torch.bincount(histories.items.long(), minlength=self.n_items + 1) > 0
        self.register_buffer("warm", bought[1:], persistent=False)
        self.item_scale = StandardisedFeatures(len(names))
        self.profile_scale = StandardisedFeatures(profile)
        self.market = MarketView(histories.market)
        self.maps = nn.ModuleList(FeatureMap(len(columns), width) for columns in self._columns)
        self.bought = nn.Embedding(self.n_items + 1, width)
        nn.init.normal_(self.bought.weight, std=width**-0.5)
        pooled = spec.attention == "pooled"
        self.query, self.key, self.value, self.asked = (None if pooled else _per_group(count, width) for _ in range(4))
        self.modifiers = ScoreModifiers([ValueWeight(count), *age_and_regime(spec, count)])
        self.told = FeatureMap(profile, count * width)
        self.ask = FeatureMap(profile, width)
        self.ask_portfolio = nn.Linear(count * width, width, bias=False)
        self.lean = nn.Parameter(torch.zeros(count))
        self.length_power = nn.Parameter(torch.tensor(0.5))  # 0 averages the holdings, 1 adds them up
        self.base_of_features = nn.Parameter(torch.zeros(sum(len(columns) for columns in self._columns)))
        self.base_of_buyers = nn.Parameter(torch.zeros(self.n_items))
        self.turn = RegimeFactor(spec.regime_strength, spec.regime == "learned") if spec.regime != "off" else None
        self.dropout = nn.Dropout(spec.dropout)

    def prepare(self, histories: Histories, half_life_days: float | None) -> None:
        with torch.no_grad():
            self.item_scale.learn(histories.item_features)
            self.profile_scale.learn(histories.customer_features)
            if self.spec.item_start == "covisits":
                # A holding's buyers then speak for a candidate as far as they lie in one direction: where learning begins.
                self.bought.weight[1:] = covisit_vectors(histories, self.spec.feature_dim)
                for maps in (self.query, self.key, self.value):
                    if maps is not None:
                        nn.init.eye_(maps[-1])
            # The features' part of popularity by ridge regression over the items that were bought; the rest is the item's own.
            popularity, warm = log_popularity(histories, half_life_days), self.warm.cpu()
            known = self._known_features().cpu()[warm]
            mean = popularity[warm].mean() if bool(warm.any()) else popularity.mean()
            gram = known.T @ known + 10.0 * torch.eye(known.shape[1])
            self.base_of_features.copy_(torch.linalg.solve(gram, known.T @ (popularity[warm] - mean)))
            explained = self._known_features().cpu() @ self.base_of_features.cpu()
            self.base_of_buyers.copy_(torch.where(warm, popularity - mean - explained, 0.0))

    def loss(self, batch: TrainingBatch) -> Tensor:
        """A cold item is no candidate in training: that nobody has bought it says nothing against it."""
        excluded = owned_columns(batch.owned, self.n_items) | ~self.warm
        return softmax_cross_entropy(self.score(batch.history), batch.targets, batch.weights, excluded)

    def score(self, batch: HistoryBatch) -> Tensor:
        """[B, N]."""
        seen = self._catalogue()
        return self._score(batch, seen, seen.present[None, 1:])

    def score_without(self, batch: HistoryBatch, items: Tensor, features: Tensor) -> Tensor:
        """[B, N] where item ``items[b]`` (1..N) does not show customer b its feature ``features[b]``."""
        seen = self._catalogue()
        present = seen.present[None, 1:].repeat(len(items), 1, 1)  # [B, N, F]
        present[torch.arange(len(items), device=items.device), items - 1, features] = False
        return self._score(batch, seen, present)

    def _score(self, batch: HistoryBatch, seen: Catalogue, present: Tensor) -> Tensor:
        """[B, N]; present [1 or B, N, F]: the groups that feature attention may fall on."""
        outputs = seen.groups[1:]  # [N, F, d]
        read = self._read(batch, seen)
        profile = self.profile_scale(batch.features)
        found = candidate_attention(
            self._asked(outputs), outputs, read.keys, read.values, read.bias, batch.mask, top_k=self.spec.top_k or None
        ).transpose(1, 2)  # [B, N, F]
        told = torch.einsum("bfd,nfd->bnf", self._told(profile), outputs)
        held = batch.mask.sum(1).clamp_min(1).to(found.dtype)
        terms = found * (held**self.length_power)[:, None, None] + told
        feature_weights = self._feature_weights(batch, seen, profile, outputs[None], present)
        scores = seen.base + len(self.feature_names) * (feature_weights * terms).sum(-1)
        return scores if self.turn is None else scores + self.turn.of(self.market.affinity(batch.now))

    def attention(self, batch: HistoryBatch, candidates: Tensor) -> Tensor:
        """[B, K, L]: a holding's weight, summed over the features by which it spoke."""
        given = self.head_attention(batch, candidates)[:, :, 0]
        return torch.einsum("bkf,bkfl->bkl", self.feature_attention(batch, candidates), given)

    @property
    def head_names(self) -> tuple[str, ...]:
        return self.feature_names

    def head_attention(self, batch: HistoryBatch, candidates: Tensor) -> Tensor:
        """[B, K, 1, F, L]: the attention of each feature over holdings."""
        seen = self._catalogue()
        read = self._read(batch, seen)
        asked = self._asked(seen.groups[candidates])  # [B, K, F, d]
        given = candidate_weights(asked, read.keys, read.bias, batch.mask, top_k=self.spec.top_k or None)  # [B, F, K, L]
        return given.transpose(1, 2)[:, :, None]

    def feature_attention(self, batch: HistoryBatch, candidates: Tensor) -> Tensor:
        """Candidates [B, K] (items 1..N) -> [B, K, F], the weight of each of ``feature_names``.

        Sums to 1, or to 0 for an item that was never bought where the training set holds no feature of it.
        """
        seen = self._catalogue()
        profile = self.profile_scale(batch.features)
        return self._feature_weights(batch, seen, profile, seen.groups[candidates], seen.present[candidates])

    def _catalogue(self) -> Catalogue:
        values = self.item_scale(self.item_features)
        parts = [map_(values[:, columns]) for map_, columns in zip(self.maps, self._columns, strict=True)]
        known = torch.stack([*parts, self.bought.weight[1:]], 1)  # [N, F, d]
        has_buyers = self.warm
        if self.training:
            has_buyers = has_buyers & (torch.rand(self.n_items, device=known.device) >= HIDDEN_SHARE)
        present = known.new_ones(known.shape[:2], dtype=torch.bool)
        present[:, -1] = has_buyers
        groups = F.pad(known * present[..., None], (0, 0, 0, 0, 1, 0))
        base = self._known_features() @ self.base_of_features + self.base_of_buyers * has_buyers
        return Catalogue(groups, F.pad(present, (0, 0, 1, 0)), base)

    def _known_features(self) -> Tensor:
        """[N, features in groups], standardised."""
        return self.item_scale(self.item_features)[:, [column for columns in self._columns for column in columns]]

    def _read(self, batch: HistoryBatch, seen: Catalogue) -> _Read:
        held = self.dropout(seen.groups[batch.items])  # [B, L, F, d]
        bias = self.modifiers(key_facts(batch, self.market))  # [B, F, L]
        assert bias is not None
        if self.spec.attention != "learned":
            bias = torch.zeros_like(bias)
        return _Read(_mapped(held, self.key), _mapped(held, self.value), bias)

    def _asked(self, candidates: Tensor) -> Tensor:
        """[..., F, d] -> queries of the same shape; zeros where every holding is to weigh alike."""
        asked = _mapped(candidates, self.query)
        return asked if self.spec.attention == "learned" else torch.zeros_like(asked)

    def _told(self, profile: Tensor) -> Tensor:
        """[B, F, d]."""
        return self.told(profile).unflatten(-1, (len(self.feature_names), -1))

    def _feature_weights(
        self, batch: HistoryBatch, seen: Catalogue, profile: Tensor, candidates: Tensor, present: Tensor
    ) -> Tensor:
        """[B, N, F] of candidates [B or 1, N, F, d]."""
        if self.spec.attention != "learned":
            return masked_softmax(present.to(profile.dtype), present).expand(len(profile), -1, -1)
        # The portfolio: the mean of the holdings, each by its value.
        share = masked_softmax(batch.weights, batch.mask, 1)
        portfolio = torch.einsum("bl,blfd->bfd", share, seen.groups[batch.items]).flatten(1)
        asked = self.ask(profile) + self.ask_portfolio(portfolio)  # [B, d]
        offered = _mapped(candidates, self.asked)  # [B or 1, N, F, d]
        if len(offered) == 1:
            scores = (asked @ offered[0].flatten(0, 1).T).unflatten(1, offered.shape[1:3])
        else:
            scores = torch.einsum("bd,bnfd->bnf", asked, offered)
        return masked_softmax(scores + self.lean, present)


@dataclass(frozen=True)
class _Read:
    """A batch of portfolios as keys and values [B, L, F, d], and what is added to their scores [B, F, L]."""

    keys: Tensor
    values: Tensor
    bias: Tensor


def _per_group(count: int, width: int) -> nn.Parameter:
    """[F, d, d], one square map per feature group."""
    return nn.Parameter(torch.randn(count, width, width) * width**-0.5)


def _mapped(values: Tensor, maps: Tensor | None) -> Tensor:
    """[..., F, d] x [F, d, d] -> [..., F, d]; None: as they are."""
    return values if maps is None else torch.einsum("...fd,fde->...fe", values, maps)
