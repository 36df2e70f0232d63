"""Features as a model sees them: standardised with the training set's own mean and spread, and clipped."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_modules.covisits import covisit_vectors
from lightning_modules.histories import Histories
from lightning_modules.popularity import log_popularity
from lightning_modules.settings import ItemStart

CLIP = 5.0  # standard deviations; one absurd yield must not outweigh every other feature


class FeatureMap(nn.Module):
    """Standardised features [..., F] to vectors [..., width] of length about 1/2.

    Small at first, so that features do not outshout what an item's or a customer's own history says.
    """

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(features, width) * 0.5 / math.sqrt(max(features, 1) * width))

    def forward(self, values: Tensor) -> Tensor:
        mapped: Tensor = values @ self.weight
        return mapped


class StandardisedFeatures(nn.Module):
    """z-scores of raw features; mean and spread travel with the weights, so scoring uses training's scale."""

    mean: Tensor
    scale: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self._hidden: tuple[int, ...] = ()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))

    def learn(self, values: Tensor) -> None:
        """Take mean and spread from values [R, width]; a constant column becomes 0 everywhere."""
        if values.numel():
            self.mean.copy_(values.mean(0))
            spread = values.std(0, unbiased=False)
            self.scale.copy_(torch.where(spread > 1e-6, 1 / spread.clamp_min(1e-6), torch.zeros_like(spread)))

    def forward(self, values: Tensor) -> Tensor:
        """[..., width] raw -> [..., width] standardised; 0, the training set's mean, where a column is hidden."""
        standardised = ((values - self.mean) * self.scale).clamp(-CLIP, CLIP)
        if self._hidden:
            standardised[..., list(self._hidden)] = 0.0
        return standardised

    @contextmanager
    def hiding(self, columns: Sequence[int]) -> Iterator[None]:
        """Within, these columns say nothing: everybody stands at the mean."""
        self._hidden = tuple(columns)
        try:
            yield
        finally:
            self._hidden = ()


class ItemVectors(nn.Module):
    """An item as a model sees it: a learned vector plus what its features say, and a bias that starts at popularity."""

    item_features: Tensor

    def __init__(self, histories: Histories, dim: int, with_features: bool = True) -> None:
        super().__init__()
        features = len(histories.item_feature_names) if with_features else 0
        self.register_buffer("item_features", histories.item_features[:, :features].clone(), persistent=False)
        self.scale = StandardisedFeatures(features)
        # Row 0 is padding; it is never a candidate and its attention is masked.
        self.learned = nn.Embedding(histories.n_items + 1, dim)
        nn.init.normal_(self.learned.weight, std=dim**-0.5)
        self.from_features = FeatureMap(features, dim)
        self.bias = nn.Parameter(torch.zeros(histories.n_items))

    def prepare(self, histories: Histories, half_life_days: float | None, start: ItemStart) -> None:
        """Take the features' scale, the items' popularity and, if asked, where their vectors begin from a training set."""
        with torch.no_grad():
            self.scale.learn(self.item_features)
            self.bias.copy_(log_popularity(histories, half_life_days))
            if start == "covisits":
                self.learned.weight[1:] = covisit_vectors(histories, self.learned.embedding_dim)

    def forward(self) -> Tensor:
        """[N + 1, D]; row 0 is padding."""
        features = self.from_features(self.scale(self.item_features))
        return self.learned.weight + F.pad(features, (0, 0, 1, 0))
