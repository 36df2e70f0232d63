"""Sinusoidal positions: fixed, so a history longer than any seen in training still has one.

Source: Vaswani et al. 2017, section 3.5, https://arxiv.org/abs/1706.03762
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def sinusoidal_positions(length: int, dim: int) -> Tensor:
    """[length, dim]: sine in the even columns, cosine in the odd ones, wavelengths from 2 pi to 10,000 * 2 pi."""
    if dim % 2:
        raise ValueError(f"sinusoidal positions need an even width, got {dim}")
    position = torch.arange(length, dtype=torch.float32)[:, None]
    rate = torch.exp(torch.arange(0, dim, 2, dtype=torch.float32) * (-math.log(10_000.0) / dim))
    angle = position * rate  # [length, dim / 2]
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(-2)
