"""Linear attention: scores as a product of positive feature maps, so that cost grows with the length, not its square.

    weight of key j for query i  =  phi(q_i) . phi(k_j) exp(b_j)  /  the sum of it over the allowed keys

with phi(x) = elu(x) + 1. Sums over keys are carried along as one matrix [d, v + 1] per head (the extra column counts
the weights themselves), in chunks: inside a chunk by a small square table, before it by the carried sum.

Source: Katharopoulos et al. 2020, https://arxiv.org/abs/2006.16236
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from lightning_modules.changed_weights import as_changed, is_changing

# Keeps every weight above zero where elu + 1 underflows: a row of real keys always has something to share out.
SMALLEST = 1e-6


def feature_map(values: Tensor) -> Tensor:
    """elu(x) + 1, above zero."""
    return F.elu(values) + (1.0 + SMALLEST)


def linear_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    mask: Tensor | None = None,
    key_bias: Tensor | None = None,
    causal: bool = False,
    weights: bool = False,
    chunk: int = 64,
) -> tuple[Tensor, Tensor | None]:
    """Attention by feature maps.

    Args:
        query: [..., Q, d]; key: [..., K, d]; value: [..., K, v].
        mask: bool, broadcastable to [..., K], True at real keys.
        key_bias: float, broadcastable to [..., K]: a key's weights are multiplied by its exponential.
        causal: query i may attend to keys 0..i only (then Q = K).
        weights: form and return the weights, at quadratic cost.
        chunk: keys per step of the causal path.

    Returns:
        output [..., Q, v] (0 where nothing may be attended to), and the weights [..., Q, K] or None.
    """
    asked, held = feature_map(query), feature_map(key)
    level = key.new_zeros(key.shape[:-1]) if key_bias is None else key_bias.to(key.dtype).expand(key.shape[:-1])
    if mask is not None:
        level = level.masked_fill(~mask, -torch.inf)
    if weights or is_changing():
        given = _weights(asked, held, level, causal)
        given = as_changed(given, given > 0)
        return given @ value, given if weights else None
    counted = F.pad(value, (0, 1), value=1.0)  # [..., K, v + 1]: the last column adds up the weights
    if causal:
        sums = _causal_sums(asked, held, counted, level, chunk)
    else:
        scale = torch.exp(level - _finite(level.detach().amax(-1, keepdim=True)))
        sums = asked @ (held.transpose(-1, -2) @ (counted * scale[..., None]))
    return _divide(sums[..., :-1], sums[..., -1:]), None


def _weights(asked: Tensor, held: Tensor, level: Tensor, causal: bool) -> Tensor:
    """[..., Q, K]."""
    levels = level[..., None, :].expand(*level.shape[:-1], asked.shape[-2], level.shape[-1])
    if causal:
        levels = levels.masked_fill(torch.ones(levels.shape[-2:], dtype=torch.bool, device=levels.device).triu(1), -torch.inf)
    raw = asked @ held.transpose(-1, -2) * torch.exp(levels - _finite(levels.detach().amax(-1, keepdim=True)))
    return _divide(raw, raw.sum(-1, keepdim=True))


def _causal_sums(asked: Tensor, held: Tensor, counted: Tensor, level: Tensor, chunk: int) -> Tensor:
    """[..., L, v + 1], scaled row by row: only the ratio of a row to its last column means anything.

    Every row is scaled by the largest level that it may see, as an online softmax does, so that neither a steep decay
    nor a long history can overflow or vanish.
    """
    state = counted.new_zeros(*counted.shape[:-2], held.shape[-1], counted.shape[-1])
    top = level.new_full((*level.shape[:-1], 1), -torch.inf)
    parts: list[Tensor] = []
    for start in range(0, asked.shape[-2], chunk):
        part = slice(start, start + chunk)
        q, k, v, b = asked[..., part, :], held[..., part, :], counted[..., part, :], level[..., part]
        highest = torch.maximum(b.detach().cummax(-1).values, top)  # [..., C], of all keys up to each
        zero = _finite(highest)[..., None]
        later = torch.ones(b.shape[-1], b.shape[-1], dtype=torch.bool, device=b.device).triu(1)
        inside = torch.exp((b[..., None, :] - zero).masked_fill(later, -torch.inf))  # [..., C, C]
        before = torch.exp(top[..., None] - zero)  # [..., C, 1]
        parts.append((q @ k.transpose(-1, -2) * inside) @ v + q @ state * before)
        last = _finite(highest[..., -1:])  # [..., 1]
        state = state * torch.exp(top - last)[..., None] + k.transpose(-1, -2) @ (v * torch.exp(b - last)[..., None])
        top = highest[..., -1:]
    return torch.cat(parts, dim=-2)


def _finite(level: Tensor) -> Tensor:
    """0 where there is no real key."""
    return torch.where(level.isinf(), torch.zeros((), dtype=level.dtype, device=level.device), level)


def _divide(numerator: Tensor, denominator: Tensor) -> Tensor:
    """0 where the denominator is 0."""
    empty = denominator == 0
    return (numerator / denominator.masked_fill(empty, 1.0)).masked_fill(empty, 0.0)
