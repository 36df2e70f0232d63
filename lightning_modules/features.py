"""Features as a model sees them: standardised with the training set's own mean and spread, and clipped."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

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
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))

    def learn(self, values: Tensor) -> None:
        """Take mean and spread from values [R, width]; a constant column becomes 0 everywhere."""
        if values.numel():
            self.mean.copy_(values.mean(0))
            spread = values.std(0, unbiased=False)
            self.scale.copy_(torch.where(spread > 1e-6, 1 / spread.clamp_min(1e-6), torch.zeros_like(spread)))

    def forward(self, values: Tensor) -> Tensor:
        """[..., width] raw -> [..., width] standardised."""
        return ((values - self.mean) * self.scale).clamp(-CLIP, CLIP)
