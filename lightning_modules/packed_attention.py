"""Causal self-attention over packed rows, group by group of similar length.

- Each group goes through the attention primitive: torch's fused kernel, the linear kernel, or top-k.
- In bfloat16 on a CPU the fused kernel is slow (its products do not use the processor's bfloat16 units: a fifth of the
  rate measured here, a tenth in the backward), so there softmax attention is written out, forward and backward, as
  batched matrix products.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lightning_modules.attention import attend
from lightning_modules.linear_attention import linear_attention
from lightning_modules.packed import Group, Packing

Kernel = Literal["softmax", "linear"]
WIDE = 32
"""Numbers in a register of bfloat16: torch's softmax and its gradient crawl through shorter rows."""


def packed_attention(
    mixed: Tensor, packing: Packing, key_bias: Tensor | None = None, kernel: Kernel = "softmax", top_k: int = 0
) -> Tensor:
    """Causal attention of every row over the rows of its own sequence up to itself.

    Args:
        mixed: [T, 3 * D], queries, keys and values side by side, each of ``packing.heads`` heads.
        key_bias: [T, H], added to the scaled score of every query over this key; None for none.
        top_k: softmax only: each query keeps its so many largest scores; 0: all.

    Returns:
        [T, D]; 0 for spare rows.
    """
    if mixed.dtype == torch.bfloat16 and mixed.device.type == "cpu" and kernel == "softmax" and not top_k:
        written: Tensor = _WrittenOut.apply(mixed, key_bias, packing)  # type: ignore[no-untyped-call]
        return written
    return _by_group(mixed, packing, key_bias, kernel, top_k, weights=False)[0]


def packed_weights(
    mixed: Tensor, packing: Packing, key_bias: Tensor | None = None, kernel: Kernel = "softmax", top_k: int = 0
) -> tuple[Tensor, list[Tensor]]:
    """The weights path of :func:`packed_attention`: its output, and the attention [b, H, W, W] of each group."""
    return _by_group(mixed, packing, key_bias, kernel, top_k, weights=True)


def _by_group(
    mixed: Tensor, packing: Packing, key_bias: Tensor | None, kernel: Kernel, top_k: int, *, weights: bool
) -> tuple[Tensor, list[Tensor]]:
    parts = _parts(mixed, packing)
    bias = None if key_bias is None else key_bias.flatten().index_select(0, packing.rows)  # [M]
    outputs: list[Tensor] = []
    every: list[Tensor] = []
    for group in packing.groups:
        query, key, value = (_of_group(part, group, packing.heads) for part in parts)  # [b, H, W, d]
        level = None if bias is None else _of_group(bias, group, packing.heads)  # [b, H, W]
        if kernel == "linear":
            output, given = linear_attention(query, key, value, key_bias=level, causal=True, weights=weights)
        else:
            output, given = attend(query, key, value, key_bias=level, causal=True, top_k=top_k or None, weights=weights)
        outputs.append(output.reshape(-1, value.shape[-1]))
        if given is not None:
            every.append(given)
    return _joined(outputs, mixed, packing), every


def _parts(mixed: Tensor, packing: Packing) -> Tensor:
    """[T, 3 * D] -> [3, M, d]: query, key, value of every cell."""
    rows = mixed.reshape(len(mixed) * 3 * packing.heads, -1)
    return rows.index_select(0, packing.mixed_rows).view(3, len(packing.rows), -1)


def _of_group(values: Tensor, group: Group, heads: int) -> Tensor:
    """[M, ...] -> [b, H, W, ...], the cells of one group."""
    count = group.size * heads * group.width
    return values[group.first : group.first + count].view(group.size, heads, group.width, *values.shape[1:])


def _joined(outputs: list[Tensor], mixed: Tensor, packing: Packing) -> Tensor:
    """The cells' outputs, group after group -> [T, D]; spare rows read a row of zeros."""
    nothing = mixed.new_zeros(1, outputs[0].shape[-1])
    return torch.cat([*outputs, nothing]).index_select(0, packing.cells).view(len(mixed), -1)


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
            scores = torch.bmm(_matrices(query, group, heads), _matrices(key, group, heads).transpose(1, 2)).float()
            if bias is not None:
                scores += _matrices(bias, group, heads)[:, None]
            scores += _above_diagonal(group.width, scores)
            # In float32: of bfloat16 rows whose length is no multiple of WIDE a softmax takes twice as long.
            weights = torch.softmax(scores, -1).to(mixed.dtype)
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
            fine = torch.float32 if group.width < WIDE else grad.dtype
            grad_scores = torch.ops.aten._softmax_backward_data(grad_scores.to(fine), weights.to(fine), -1, fine).to(grad.dtype)
            torch.bmm(grad_scores, _matrices(key, group, heads), out=_matrices(parts[0], group, heads))
            torch.bmm(grad_scores.transpose(1, 2), _matrices(query, group, heads), out=_matrices(parts[1], group, heads))
            if by_key is not None:
                _matrices(by_key, group, heads).copy_(grad_scores.sum(1, dtype=torch.float32))
        parts[0] *= 1 / math.sqrt(width)
        mixed = parts.view(-1, width).index_select(0, packing.mixed_cells).view(rows, -1)
        grad_bias = None if by_key is None else by_key.index_select(0, packing.cells).view(rows, heads)
        return mixed, grad_bias, None


def _matrices(values: Tensor, group: Group, heads: int) -> Tensor:
    """[M, ...] -> [b * H, W, ...]."""
    return _of_group(values, group, heads).flatten(0, 1)


def _above_diagonal(width: int, like: Tensor) -> Tensor:
    """[W, W]: minus infinity where the key comes after the query, else 0."""
    return torch.full((width, width), -torch.inf, dtype=like.dtype, device=like.device).triu(1)
