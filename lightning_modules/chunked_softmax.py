"""Cross-entropy over the full catalogue without its [T, N] logits: in chunks of rows that stay in the cache.

The forward takes each chunk once: logits, softmax, and at once both gradients, so that the chunk is never read back from
memory and the backward only scales. The products may run in bfloat16; sums over the rows are kept in the type of the
table, and the loss in float32 or finer.

Gradients of l_t = logsumexp(s_t) - s_t[y_t], s_t = W h_t + b: with G = softmax(S) - onehot(y), dH = G W, dW = G' H.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# Logits of a chunk: few enough to stay in a processor's cache, but rows enough for full-speed products.
CHUNK_BYTES = 2**22
FEWEST_ROWS = 128
SMALLEST_CHUNK = 32


def chunked_cross_entropy(
    hidden: Tensor,
    table: Tensor,
    targets: Tensor,
    weights: Tensor,
    *,
    bias: Tensor | None = None,
    excluded: Tensor | None = None,
    owner: Tensor | None = None,
    chunk_rows: int | None = None,
) -> Tensor:
    """Weighted mean of -log softmax(hidden @ table.T + bias) at the targets.

    Args:
        hidden: [T, D]; its dtype is that of the products (float32, bfloat16, float64).
        table: [N, D]; bias: [N]. Their gradients come in their own dtype.
        targets: [T] int64, columns; weights: [T] float, not negative, their sum positive.
        excluded: [C, N] bool, True where an item is no candidate for the rows whose ``owner`` [T] is that line. A target
            is always a candidate, even if marked.
        chunk_rows: most rows a chunk; None: as many as fit CHUNK_BYTES.

    Returns:
        Scalar. The loss of one row is capped where its probability leaves the range of the dtype (about 87 nats for
        float32 and bfloat16); its gradient is not.
    """
    loss: Tensor = _Chunked.apply(hidden, table, bias, targets, weights, excluded, owner, chunk_rows)  # type: ignore[no-untyped-call]
    return loss


class _Chunked(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        table: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        weights: Tensor,
        excluded: Tensor | None,
        owner: Tensor | None,
        chunk_rows: int | None,
    ) -> Tensor:
        rows, dtype = len(hidden), hidden.dtype
        fine = torch.promote_types(dtype, torch.float32)
        size = chunk_rows or _rows_that_fit(len(table) * hidden.element_size())
        cast = table.to(dtype)
        coefficient = (weights / weights.sum()).to(fine)  # [T]
        needed = any(ctx.needs_input_grad[:3])
        grad_hidden = torch.empty_like(hidden) if needed else None
        grad_table = torch.zeros(table.shape, dtype=fine, device=table.device) if needed else None
        grad_bias = torch.zeros(len(table), dtype=fine, device=table.device) if needed and bias is not None else None
        scores = torch.empty(min(size, rows), len(table), dtype=dtype, device=hidden.device)
        shares = torch.empty_like(scores)
        begins = torch.arange(len(scores), device=hidden.device) * len(table)  # cell of the first column of each row
        weighted = (hidden * coefficient[:, None]).to(dtype)  # [T, D]
        likelihood = torch.empty(rows, dtype=dtype, device=hidden.device)  # of each target
        for part in _chunks(rows, size):
            chunk = hidden[part]
            logits, share = scores[: len(chunk)], shares[: len(chunk)]
            if bias is None:
                torch.mm(chunk, cast.T, out=logits)  # [R, D] x [D, N] -> [R, N]
            else:
                torch.addmm(bias.to(dtype), chunk, cast.T, out=logits)
            if excluded is not None and owner is not None:
                column = targets[part, None]
                own = logits.gather(1, column)
                logits.masked_fill_(excluded.index_select(0, owner[part]), -torch.inf).scatter_(1, column, own)
            torch.softmax(logits, 1, out=share)
            flat = share.view(-1)
            cell = targets[part] + begins[: len(chunk)]
            chosen = torch.index_select(flat, 0, cell, out=likelihood[part])  # [R]
            if grad_hidden is None or grad_table is None:
                continue
            flat.index_copy_(0, cell, chosen - 1)  # not scatter_add_, which in bfloat16 copies the whole chunk
            torch.mm(share, cast, out=grad_hidden[part])
            grad_table += torch.mm(share.T, weighted[part])
            if grad_bias is not None:
                grad_bias += torch.mv(share.T, coefficient[part].to(dtype))
        if grad_hidden is not None:
            torch.mul(grad_hidden, coefficient[:, None], out=grad_hidden)
        lost = -likelihood.to(fine).clamp_min(torch.finfo(fine).tiny).log()
        # where, not only *: a row of weight 0 must not bring its NaN along.
        total = torch.where(weights > 0, lost * coefficient, 0.0).sum()
        ctx.save_for_backward(grad_hidden, grad_table, grad_bias)
        ctx.types = table.dtype, None if bias is None else bias.dtype
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        hidden, table, bias = ctx.saved_tensors
        table_type, bias_type = ctx.types
        given = (
            hidden * grad.to(hidden.dtype),
            (table * grad).to(table_type),
            None if bias is None else (bias * grad).to(bias_type),
        )
        return (*given, None, None, None, None, None)


def _rows_that_fit(row_bytes: int) -> int:
    return max(2 ** math.floor(math.log2(max(CHUNK_BYTES / row_bytes, 1))), FEWEST_ROWS)


def _chunks(rows: int, size: int) -> Iterator[slice]:
    """Chunks of ``size`` rows, then ever smaller halves of it: few shapes, whose kernels are compiled once."""
    start = 0
    while start < rows:
        while size > 1 and size > rows - start and size > SMALLEST_CHUNK:
            size //= 2
        yield slice(start, min(start + size, rows))
        start += size
