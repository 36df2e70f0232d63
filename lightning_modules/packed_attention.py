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
KEY_MULTIPLE = 8


def packed_attention(mixed: Tensor, packing: Packing, key_bias: Tensor | None = None) -> Tensor:
    """Causal attention of every row over the rows of its own sequence up to itself.

    Args:
        mixed: [T, 3 * D], queries, keys and values side by side, each of ``packing.heads`` heads.
        key_bias: [T, H], added to the scaled score of every query over this key; None for none.

    Returns:
        [T, D]; 0 for spare rows.
    """
    if mixed.dtype == torch.bfloat16 and mixed.device.type == "cpu":
        written: Tensor = _WrittenOut.apply(mixed, key_bias, packing)  # type: ignore[no-untyped-call]
        return written
    parts = _parts(mixed, packing)
    outputs: list[Tensor] = []
    for group in packing.groups:
        query, key, value = (_of_group(part, group, packing.heads) for part in parts)  # [b, H, W, d]
        width = query.shape[-1]
        if key_bias is not None:
            query, key, value = _with_bias(query, key, value, _bias(key_bias, packing, group))
        output = F.scaled_dot_product_attention(query, key, value, is_causal=True, scale=1 / math.sqrt(width))
        outputs.append(output[..., :width].reshape(-1, width))
    return _joined(outputs, mixed, packing)


def packed_weights(mixed: Tensor, packing: Packing, key_bias: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
    """The weights path of :func:`packed_attention`: its output, and the attention [b, H, W, W] of each group."""
    parts = _parts(mixed, packing)
    given: list[Tensor] = []
    outputs: list[Tensor] = []
    for group in packing.groups:
        query, key, value = (_of_group(part, group, packing.heads) for part in parts)
        bias = None if key_bias is None else _bias(key_bias, packing, group)[:, :, None, :]
        given.append(attention_weights(query, key, bias=bias, causal=True))
        outputs.append((given[-1] @ value).reshape(-1, value.shape[-1]))
    return _joined(outputs, mixed, packing), given


def _parts(mixed: Tensor, packing: Packing) -> tuple[Tensor, ...]:
    """[T, 3 * D] -> query, key, value of every cell, each [M, d]."""
    split = mixed.view(len(mixed), 3, -1)
    return tuple(split[:, part].reshape(len(mixed) * packing.heads, -1).index_select(0, packing.rows) for part in range(3))


def _of_group(values: Tensor, group: Group, heads: int) -> Tensor:
    """[M, ...] -> [b, H, W, ...], the cells of one group."""
    count = group.size * heads * group.width
    return values[group.first : group.first + count].view(group.size, heads, group.width, *values.shape[1:])


def _bias(key_bias: Tensor, packing: Packing, group: Group) -> Tensor:
    """[T, H] -> [b, H, W]."""
    return _of_group(key_bias.flatten().index_select(0, packing.rows), group, packing.heads)


def _joined(outputs: list[Tensor], mixed: Tensor, packing: Packing) -> Tensor:
    """The cells' outputs, group after group -> [T, D]; spare rows read a row of zeros."""
    nothing = mixed.new_zeros(1, outputs[0].shape[-1])
    return torch.cat([*outputs, nothing]).index_select(0, packing.cells).view(len(mixed), -1)


def _with_bias(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """One more dimension: 1 in the query, bias * sqrt(d) in the key; then zeros up to a width that kernels like."""
    width = query.shape[-1]
    more = -(width + 1) % KEY_MULTIPLE
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
    def forward(ctx: Any, mixed: Tensor, key_bias: Tensor | None, packing: Packing) -> Tensor:
        heads = packing.heads
        width = mixed.shape[1] // (3 * heads)
        query, key, value = _parts(mixed, packing)
        query *= 1 / math.sqrt(width)
        bias = None if key_bias is None else key_bias.to(mixed.dtype).flatten().index_select(0, packing.rows)
        output = torch.empty(len(query) + 1, width, dtype=mixed.dtype)
        output[-1] = 0
        kept: list[Tensor] = []
        for group in packing.groups:
            # [b * H, W, d] x [b * H, d, W] -> [b * H, W, W]
            scores = torch.bmm(_matrices(query, group, heads), _matrices(key, group, heads).transpose(1, 2))
            if bias is not None:
                scores += _matrices(bias, group, heads)[:, None]
            scores += _above_diagonal(group.width, scores)
            weights = torch.softmax(scores, -1)
            torch.bmm(weights, _matrices(value, group, heads), out=_matrices(output, group, heads))
            kept.append(weights)
        ctx.save_for_backward(query, key, value, *kept)
        ctx.packing, ctx.bias = packing, None if key_bias is None else key_bias.dtype
        return output.index_select(0, packing.cells).view(len(mixed), -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, None]:
        query, key, value, *kept = ctx.saved_tensors
        packing: Packing = ctx.packing
        heads, rows = packing.heads, len(grad)
        cells, width = query.shape
        given = grad.reshape(rows * heads, width).index_select(0, packing.rows)
        given.index_fill_(0, packing.padding, 0)  # padding repeats a real row, whose gradient must not count twice
        parts = torch.empty(3, cells + 1, width, dtype=grad.dtype)
        parts[:, -1] = 0
        by_key = None if ctx.bias is None else torch.zeros(cells + 1, dtype=ctx.bias)
        for group, weights in zip(packing.groups, kept, strict=True):
            mine = _matrices(given, group, heads)
            torch.bmm(weights.transpose(1, 2), mine, out=_matrices(parts[2], group, heads))
            grad_scores = torch.bmm(mine, _matrices(value, group, heads).transpose(1, 2))
            grad_scores = torch.ops.aten._softmax_backward_data(grad_scores, weights, -1, weights.dtype)
            torch.bmm(grad_scores, _matrices(key, group, heads), out=_matrices(parts[0], group, heads))
            torch.bmm(grad_scores.transpose(1, 2), _matrices(query, group, heads), out=_matrices(parts[1], group, heads))
            if by_key is not None:
                _matrices(by_key, group, heads).copy_(grad_scores.sum(1, dtype=torch.float32))
        parts[0] *= 1 / math.sqrt(width)
        mixed = torch.empty(rows, 3, heads * width, dtype=grad.dtype)
        for part in range(3):
            mixed[:, part] = parts[part].index_select(0, packing.cells).view(rows, -1)
        grad_bias = None if by_key is None else by_key.index_select(0, packing.cells).view(rows, heads)
        return mixed.view(rows, -1), grad_bias, None


def _matrices(values: Tensor, group: Group, heads: int) -> Tensor:
    """[M, ...] -> [b * H, W, ...]."""
    return _of_group(values, group, heads).flatten(0, 1)


def _above_diagonal(width: int, like: Tensor) -> Tensor:
    """[W, W]: minus infinity where the key comes after the query, else 0."""
    return torch.full((width, width), -torch.inf, dtype=like.dtype, device=like.device).triu(1)
