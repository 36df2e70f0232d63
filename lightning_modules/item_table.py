"""What models that score by inner product start from: the items' vectors, the customer's profile, the items' bias.

The transformer and GRU4Rec share it, so that the two differ in what reads the history and in nothing else.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_modules.covisits import covisit_vectors
from lightning_modules.dropout import PooledDropout
from lightning_modules.features import FeatureMap, StandardisedFeatures
from lightning_modules.histories import Histories
from lightning_modules.popularity import log_popularity
from lightning_modules.settings import ModelSpec


class ItemTable(nn.Module):
    """Base of a ranker of one vocabulary; needs the training set's item features as well as its weights."""

    item_features: Tensor

    def __init__(self, spec: ModelSpec, histories: Histories) -> None:
        super().__init__()
        self.spec = spec
        self.n_items = histories.n_items
        dim = spec.dim
        self.items = nn.Embedding(self.n_items + 1, dim)  # row 0: the start token
        nn.init.normal_(self.items.weight, std=dim**-0.5)
        if spec.item_features:
            self.register_buffer("item_features", histories.item_features.clone(), persistent=False)
            self.item_scale = StandardisedFeatures(len(histories.item_feature_names))
            self.from_features = FeatureMap(len(histories.item_feature_names), dim)
        if spec.profile:
            self.profile_scale = StandardisedFeatures(len(histories.customer_feature_names))
            self.from_profile = FeatureMap(len(histories.customer_feature_names), dim)
        self.bias = nn.Parameter(torch.zeros(self.n_items)) if spec.item_bias else None
        self.dropout = PooledDropout(spec.dropout)

    def prepare(self, histories: Histories, half_life_days: float | None) -> None:
        with torch.no_grad():
            if self.spec.item_features:
                self.item_scale.learn(histories.item_features)
            if self.spec.profile:
                self.profile_scale.learn(histories.customer_features)
            if self.bias is not None:
                self.bias.copy_(log_popularity(histories, half_life_days))
            if self.spec.item_start == "covisits":
                self.items.weight[1:] = covisit_vectors(histories, self.spec.dim)

    def item_table(self) -> Tensor:
        """[N + 1, D]: learned vector plus what the item's features say; row 0 is the start token."""
        table: Tensor = self.items.weight
        if self.spec.item_features:
            features = self.from_features(self.item_scale(self.item_features))
            table = table + F.pad(features, (0, 0, 1, 0))
        return table if self.spec.cosine_scale is None else F.normalize(table, dim=1)
