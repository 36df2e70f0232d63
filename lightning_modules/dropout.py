"""Dropout whose random numbers cost little on a CPU.

Drawing one Bernoulli number per element took more time there than the layers around it. Here a mask is put together from
patterns of 16 elements, each picked at random from a fixed pool of 65,536 independent Bernoulli patterns. Every element is
kept with probability 1 - p; elements of different patterns are independent given the pool. On a GPU it is torch's own.

Source: Srivastava et al. 2014, https://jmlr.org/papers/v15/srivastava14a.html
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

PATTERN = 16
POOL = 2**16
POOL_SEED = 20_140_115


class PooledDropout(nn.Module):
    """Dropout with probability ``p`` over values whose last dimension is a multiple of 16 (else torch's own)."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, values: Tensor) -> Tensor:
        """[..., D] -> [..., D], scaled by 1 / (1 - p); unchanged outside training."""
        if not self.training or self.p == 0:
            return values
        if values.device.type != "cpu" or values.shape[-1] % PATTERN:
            return F.dropout(values, self.p)
        return values * self.mask(values)

    def mask(self, values: Tensor) -> Tensor:
        """A fresh mask in the shape and dtype of ``values``: 0 or 1 / (1 - p)."""
        pool = _pool(self.p, values.dtype)
        count = values.numel() // PATTERN
        # Four 16-bit numbers from each 64-bit draw.
        draws = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(2**63), None)
        chosen = draws.view(torch.int16)[:count].to(torch.int32).add_(POOL // 2)
        return pool.index_select(0, chosen).view(values.shape)


@lru_cache(maxsize=4)  # one for all layers: it stays in the cache, and is there once
def _pool(p: float, dtype: torch.dtype) -> Tensor:
    """[POOL, PATTERN], 0 or 1 / (1 - p)."""
    generator = torch.Generator().manual_seed(POOL_SEED)
    kept = torch.rand(POOL, PATTERN, generator=generator) >= p
    return (kept / (1 - p)).to(dtype)
