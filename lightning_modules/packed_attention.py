"""Causal self-attention over packed rows, group by group of similar length.

- In float32, and on a GPU, each group goes through torch's fused kernel.
- In bfloat16 on a CPU the fused kernel is slow (its products do not use the processor's bfloat16 units: a fifth of the
  rate measured here, a tenth in the backward), so forward and backward are written out as batched matrix products.

Temporal decay multiplies the softmax's terms by exp(-rate * age) with age = t_i - t_j. For one query, rate * t_i is the
same for every key and cancels: what remains is a term rate * t_j per key, which rides along as one further dimension of
the keys (query 1), so the fused kernel serves it too, with gradients.

Source: Vaswani et al. 2017, section 3.2, https://arxiv.org/abs/1706.03762
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from lightning_modules.attention import attention_weights
from lightning_modules.packed import Group, Packing

# Width of the keys is kept a multiple of this when the decay's dimension is added: GPU kernels ask for it.
WIDTH_MULTIPLE = 8


def packed_attention(mixed: Tensor, packing: Packing, heads: int, key_bias: Tensor | None = None) -> Tensor:
    """Causal attention of every row over the rows of its own sequence up to itself.

    Args:
        mixed: [T, 3 * D], queries, keys and values side by side.
        key_bias: [T, H], added to the scaled score of every query over this key; None for none.

    Returns:
        [T, D].
    """
    if mixed.dtype == torch.bfloat16 and mixed.device.type == "cpu":
        output: Tensor = _WrittenOut.apply(mixed, key_bias, packing, heads)  # type: ignore[no-untyped-call]
        return output
    rows = mixed.shape[0]
    output = mixed.new_zeros(rows, mixed.shape[1] // 3)
    for group in packing.groups:
        query, key, value = _split(mixed, group, heads)
        width = query.shape[-1]
        if key_bias is not None:
            bias = key_bias.index_select(0, group.rows).view(-1, group.width, heads).transpose(1, 2)  # [b, H, W]
            query, key, value = _with_bias(query, key, value, bias)
        mixed_values = F.scaled_dot_product_attention(query, key, value, is_causal=True, scale=1 / math.sqrt(width))
        output = output.index_copy(0, *_joined(mixed_values[..., :width], group))
    return output


def packed_weights(mixed: Tensor, packing: Packing, heads: int, key_bias: Tensor | None = None) -> list[Tensor]:
    """The attention [b, H, W, W] of each group of ``packing``: the weights path of :func:`packed_attention`."""
    given: list[Tensor] = []
    for group in packing.groups:
        query, key, _ = _split(mixed, group, heads)
        bias = None
        if key_bias is not None:
            bias = key_bias.index_select(0, group.rows).view(-1, group.width, heads).transpose(1, 2)[:, :, None, :]
        given.append(attention_weights(query, key, bias=bias, causal=True))
    return given


def from_weights(weights: list[Tensor], mixed: Tensor, packing: Packing, heads: int) -> Tensor:
    """[T, D]: what attention with these weights gives out."""
    output = mixed.new_zeros(mixed.shape[0], mixed.shape[1] // 3)
    for group, given in zip(packing.groups, weights, strict=True):
        value = _split(mixed, group, heads)[2]
        output = output.index_copy(0, *_joined(given @ value, group))
    return output


def _split(mixed: Tensor, group: Group, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """[T, 3 * D] -> query, key, value, each [b, H, W, d], of one group."""
    parts = mixed.index_select(0, group.rows).view(-1, group.width, 3, heads, mixed.shape[1] // (3 * heads))
    query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)
    return query, key, value


def _joined(values: Tensor, group: Group) -> tuple[Tensor, Tensor]:
    """[b, H, W, d] -> packed rows [n] and their values [n, D], padding left out."""
    flat = values.transpose(1, 2).flatten(0, 1).flatten(1)  # [b * W, D]
    if group.cells is None:
        return group.rows, flat
    return group.rows[group.cells], flat.index_select(0, group.cells)


def _with_bias(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """One more dimension: 1 in the query, bias * sqrt(d) in the key; then zeros up to a width that kernels like."""
    width = query.shape[-1]
    more = -(width + 1) % WIDTH_MULTIPLE
    one = torch.ones_like(query[..., :1])
    scaled = (bias * math.sqrt(width)).to(key.dtype)[..., None]
    return (
        F.pad(torch.cat([query, one], -1), (0, more)),
        F.pad(torch.cat([key, scaled], -1), (0, more)),
        F.pad(value, (0, more + 1)),
    )


class _WrittenOut(torch.autograd.Function):
    """The same by batched matrix products; keeps the weights of each group for the backward."""

    @staticmethod
    def forward(ctx: Any, mixed: Tensor, key_bias: Tensor | None, packing: Packing, heads: int) -> Tensor:
        dim = mixed.shape[1] // 3
        output = torch.empty_like(mixed[:, :dim], memory_format=torch.contiguous_format)
        kept: list[Tensor] = []
        scale = 1 / math.sqrt(dim // heads)
        for group in packing.groups:
            query, key, value = (_flat(part) for part in _split(mixed, group, heads))
            scores = torch.bmm(query, key.transpose(1, 2)).mul_(scale)  # [b * H, W, W]
            if key_bias is not None:
                bias = key_bias.index_select(0, group.rows).view(-1, group.width, heads).transpose(1, 2)
                scores += bias.to(scores.dtype).reshape(-1, 1, group.width)
            scores += _above_diagonal(group.width, scores)
            weights = torch.softmax(scores, -1)
            rows, values = _joined(torch.bmm(weights, value).view(-1, heads, group.width, dim // heads), group)
            output.index_copy_(0, rows, values)
            kept.append(weights)
        ctx.save_for_backward(mixed, *kept)
        ctx.packing, ctx.heads, ctx.bias = packing, heads, None if key_bias is None else key_bias.dtype
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        mixed, *kept = ctx.saved_tensors
        heads: int = ctx.heads
        dim = grad.shape[1]
        width = dim // heads
        scale = 1 / math.sqrt(width)
        grad_mixed = torch.empty_like(mixed)
        grad_bias = None if ctx.bias is None else torch.empty(len(mixed), heads, dtype=ctx.bias, device=mixed.device)
        for group, weights in zip(ctx.packing.groups, kept, strict=True):
            query, key, value = (_flat(part) for part in _split(mixed, group, heads))
            given = grad.index_select(0, group.rows)  # [b * W, D]
            if group.cells is not None:
                # A padded cell repeats a real row, whose gradient must not count twice.
                real = torch.zeros(len(given), 1, dtype=given.dtype, device=given.device)
                given *= real.index_fill_(0, group.cells, 1.0)
            given = _flat(given.view(-1, group.width, heads, width).transpose(1, 2))
            grad_value = torch.bmm(weights.transpose(1, 2), given)
            grad_weights = torch.bmm(given, value.transpose(1, 2))
            grad_scores = torch.ops.aten._softmax_backward_data(grad_weights, weights, -1, weights.dtype)
            grad_query = torch.bmm(grad_scores, key).mul_(scale)
            grad_key = torch.bmm(grad_scores.transpose(1, 2), query).mul_(scale)
            parts = torch.stack([grad_query, grad_key, grad_value]).view(3, -1, heads, group.width, width)
            flat = parts.permute(1, 3, 0, 2, 4).reshape(-1, 3 * dim)
            rows = group.rows
            if group.cells is not None:
                rows, flat = rows[group.cells], flat.index_select(0, group.cells)
            grad_mixed.index_copy_(0, rows, flat)
            if grad_bias is not None:
                by_key = grad_scores.sum(1, dtype=torch.float32).view(-1, heads, group.width).transpose(1, 2)
                by_key = by_key.reshape(-1, heads).to(grad_bias.dtype)
                grad_bias.index_copy_(0, rows, by_key if group.cells is None else by_key.index_select(0, group.cells))
        return grad_mixed, grad_bias, None, None


def _flat(values: Tensor) -> Tensor:
    """[b, H, W, d] -> [b * H, W, d]."""
    return values.reshape(-1, *values.shape[2:])


def _above_diagonal(width: int, like: Tensor) -> Tensor:
    """[W, W]: minus infinity where the key comes after the query, else 0."""
    return torch.full((width, width), -torch.inf, dtype=like.dtype, device=like.device).triu(1)
