"""Top-k attention on a CPU that never holds its [Q, K] scores.

Scores are formed in blocks of queries that stay in the cache; of each block only what its queries keep is taken along.
Everything after that (softmax, output, the whole backward) runs on the kept entries alone, k a query instead of K, as
products of sparse matrices. The k-th largest score of a row is found by numpy's partition, whose selection uses the
processor's vector units (six times as fast here as torch.topk).

On top of the kept entries' 8 bytes a query and key, memory is one block.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

BLOCK_SCORES = 2**18
"""Scores formed at once."""
PART = 2**16
"""Kept entries whose products of query and key are formed at once in the backward."""

Numbers = npt.NDArray[Any]


def sparse_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    top_k: int,
    scale: float,
    *,
    mask: Tensor | None = None,
    causal: bool = False,
    window: int | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """Each query attends to the keys of its ``top_k`` largest allowed scores, and to those equal to the last of them.

    Args:
        query: [..., Q, d]; key: [..., K, d]; value: [..., K, v], on a CPU. In bfloat16 they are computed in float32.
        scale: what products of query and key are multiplied by.
        mask, causal, window, dropout: as in :func:`lightning_modules.attention.attend`.

    Returns:
        [..., Q, v]; 0 for a query that may attend to nothing.
    """
    shapes = [part.shape[:-2] for part in (query, key, value, *([] if mask is None else [mask]))]
    lead = torch.broadcast_shapes(*shapes)
    flat = [part.expand(*lead, *part.shape[-2:]).reshape(-1, *part.shape[-2:]) for part in (query, key, value)]
    if mask is not None:
        mask = mask.expand(*lead, mask.shape[-2], key.shape[-2]).reshape(-1, mask.shape[-2], key.shape[-2])
    output: Tensor = _Sparse.apply(*flat, mask, causal, window, top_k, scale, dropout)  # type: ignore[no-untyped-call]
    return output.view(*lead, *output.shape[1:])


class _Sparse(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None,
        causal: bool,
        window: int | None,
        top_k: int,
        scale: float,
        dropout: float,
    ) -> Tensor:
        kind = query.dtype
        query, key, value = (part if kind == torch.float64 else part.float() for part in (query, key, value))
        starts, columns, scores = _kept(query * scale, key, mask, causal, window, top_k)
        counts = starts.diff()
        top = torch.segment_reduce(scores, "max", lengths=counts, initial=-torch.inf)
        weights = (scores - torch.repeat_interleave(top, counts)).exp_()
        weights /= torch.repeat_interleave(torch.segment_reduce(weights, "sum", lengths=counts, initial=0.0), counts)
        dropped = F.dropout(torch.ones_like(weights), dropout) if dropout > 0 else None
        output = _times(_matrix(weights if dropped is None else weights * dropped, columns, starts, key), value)
        ctx.save_for_backward(query, key, value, starts, columns, weights, dropped)
        ctx.kind, ctx.scale = kind, scale
        return output.view(*query.shape[:2], -1).to(kind)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, starts, columns, weights, dropped = ctx.saved_tensors
        counts = starts.diff()
        row = torch.repeat_interleave(torch.arange(len(counts), dtype=torch.int32), counts)
        grad = grad.to(query.dtype).reshape(len(counts), -1)
        used = weights if dropped is None else weights * dropped
        grad_value = _times(_matrix(used, columns, starts, key).T, grad)
        # dL/dw of each kept weight: its query's gradient times its key's value.
        given = torch.empty_like(weights)
        values = value.flatten(0, 1)
        for at in range(0, len(given), PART):
            part = slice(at, at + PART)
            product = grad.index_select(0, row[part]) * values.index_select(0, columns[part])
            torch.sum(product, 1, out=given[part])
        if dropped is not None:
            given *= dropped
        given *= weights
        # The softmax's own: each weight times what its gradient exceeds the row's mean by.
        mean = torch.segment_reduce(given, "sum", lengths=counts, initial=0.0)
        given -= weights * torch.repeat_interleave(mean, counts)
        spread = _matrix(given * ctx.scale, columns, starts, key)
        grad_query = _times(spread, key).view_as(query).to(ctx.kind)
        grad_key = _times(spread.T, query).view_as(key).to(ctx.kind)
        return grad_query, grad_key, grad_value.view_as(value).to(ctx.kind), *[None] * 6


def _kept(
    query: Tensor, key: Tensor, mask: Tensor | None, causal: bool, window: int | None, top_k: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Compressed rows of what the G * Q queries keep of the G * K keys: starts [G * Q + 1] int64, columns and scores [P]."""
    groups, queries, _ = query.shape
    keys = key.shape[1]
    counts = np.zeros(groups * queries, np.int64)
    columns: list[Numbers] = [np.zeros(0, np.int32)]
    scores: list[Numbers] = [np.zeros(0, query.numpy().dtype)]
    for group, rows, across in _blocks(groups, queries, keys, causal, window):
        block = torch.bmm(query[group, rows], key[group, across].transpose(1, 2))
        if causal:
            _hide(block, rows.start - across.start, window)
        if mask is not None:
            seen = mask[group, rows if mask.shape[1] > 1 else slice(None), across]
            block.masked_fill_(~seen, -torch.inf)
        values = block.numpy()
        width = values.shape[-1]
        least: Numbers | float = np.finfo(values.dtype).min  # what is hidden is below
        if width > top_k:
            least = np.maximum(np.partition(values, width - top_k, -1)[..., width - top_k, None], least)
        cell = np.flatnonzero(values >= least)
        line = cell // width
        first = group.start * queries + rows.start
        counts[first : first + values.shape[0] * values.shape[1]] = np.bincount(line, minlength=values.shape[0] * values.shape[1])
        # A block is whole groups, or some queries of one group.
        columns.append(((group.start + line // values.shape[1]) * keys + across.start + cell % width).astype(np.int32))
        scores.append(values.reshape(-1)[cell])
    starts = F.pad(torch.from_numpy(counts).cumsum(0), (1, 0))
    return starts, torch.from_numpy(np.concatenate(columns)), torch.from_numpy(np.concatenate(scores))


def _blocks(groups: int, queries: int, keys: int, causal: bool, window: int | None) -> Iterator[tuple[slice, slice, slice]]:
    """Groups, queries and keys of each block, in the order of the rows; with ``causal`` no key that none of them sees."""
    together = BLOCK_SCORES // max(queries * keys, 1)
    if together >= 1:
        for first in range(0, groups, together):
            yield slice(first, min(first + together, groups)), slice(0, queries), slice(0, keys)
        return
    size = max(BLOCK_SCORES // keys, 1)
    for group in range(groups):
        for first in range(0, queries, size):
            end = min(first + size, queries)
            oldest = 0 if window is None else max(first - window + 1, 0)
            across = slice(min(oldest, keys), min(end, keys)) if causal else slice(0, keys)
            yield slice(group, group + 1), slice(first, end), across


def _hide(block: Tensor, diagonal: int, window: int | None) -> None:
    """Minus infinity at keys that come after their query, or ``window`` or more before it.

    ``diagonal``: the column of the first query's own key.
    """
    rows, columns = block.shape[-2:]
    column = torch.arange(columns)
    own = torch.arange(rows)[:, None] + diagonal
    block[..., diagonal:].masked_fill_(column[diagonal:] > own, -torch.inf)
    if window is not None:
        block.masked_fill_(column <= own - window, -torch.inf)


def _matrix(values: Tensor, columns: Tensor, starts: Tensor, key: Tensor) -> Any:
    """scipy CSR [G * Q, G * K]."""
    shape = (len(starts) - 1, key.shape[0] * key.shape[1])
    return sparse.csr_matrix((values.numpy(), columns.numpy(), starts.numpy()), shape=shape, copy=False)


def _times(matrix: Any, dense: Tensor) -> Tensor:
    """[R, C] x [..., C, d] (leading dimensions joined) -> [R, d]."""
    return torch.from_numpy(matrix @ dense.reshape(matrix.shape[1], -1).numpy())
