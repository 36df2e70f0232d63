"""Attention with candidates as queries: what each candidate finds in a customer's holdings, summed to one number a head.

    term[h, u, c] = sum over l of softmax over l (q[h, c] . k[h, u, l] / sqrt d + b[h, u, l]) * (v[h, u, l] . o[h, c])

so a term is exactly a sum of one share per holding. Candidates are the same for every customer (the catalogue) or each
customer's own (what a retrieval stage chose); nothing of size [B, N, L, D] is ever made.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from lightning_modules.attention import attend, attention_weights, largest
from lightning_modules.changed_weights import as_changed

# Tables of scores with more entries than this are cut up in scoring, so that a piece stays in the cache; and in training,
# where all pieces would have to be kept for the gradient, give way to the fused kernel. Measured on a CPU: below, tables are
# up to four times as fast as the kernel; at five times as many entries the kernel is 1.6 times as fast as tables.
CACHED = 2_000_000
KEPT = 8_000_000


def candidate_attention(
    queries: Tensor,
    outputs: Tensor,
    keys: Tensor,
    values: Tensor,
    key_bias: Tensor,
    mask: Tensor,
    *,
    top_k: int | None = None,
) -> Tensor:
    """The terms [B, H, N].

    Args:
        queries, outputs: [N, H, d], or [B, N, H, d] where every customer has candidates of his own.
        keys, values: [B, L, H, d]; key_bias: [B, H, L]; mask: [B, L], True at real holdings.
        top_k: each candidate looks at its ``top_k`` best holdings only.

    A customer without a holding gets 0.
    """
    size = keys.shape[0] * keys.shape[1] * keys.shape[2] * queries.shape[-3]
    if torch.is_grad_enabled():
        if size > KEPT and top_k is None:
            return _fused(queries, outputs, keys, values, key_bias, mask)
        return _by_tables(queries, outputs, keys, values, key_bias, mask, top_k)
    rows = max(1, CACHED * len(keys) // max(size, 1))
    own = queries.dim() == 4
    parts = []
    for start in range(0, len(keys), rows):
        here = slice(start, start + rows)
        asked, offered = (queries[here], outputs[here]) if own else (queries, outputs)
        parts.append(_by_tables(asked, offered, keys[here], values[here], key_bias[here], mask[here], top_k))
    return torch.cat(parts)


def candidate_weights(queries: Tensor, keys: Tensor, key_bias: Tensor, mask: Tensor, *, top_k: int | None = None) -> Tensor:
    """The weights [B, H, N, L] of :func:`candidate_attention`: 1 in total, 0 for a customer without a holding."""
    return attention_weights(
        queries.transpose(-2, -3),  # [.., H, N, d]
        keys.transpose(1, 2),
        mask=mask[:, None, None],
        key_bias=key_bias,
        top_k=top_k,
    )


def _fused(queries: Tensor, outputs: Tensor, keys: Tensor, values: Tensor, key_bias: Tensor, mask: Tensor) -> Tensor:
    heads = keys.shape[2]
    asked = queries.transpose(-2, -3).expand(len(keys), heads, queries.shape[-3], queries.shape[-1])
    found, _ = attend(
        asked, keys.transpose(1, 2), values.transpose(1, 2), mask=mask[:, None, None], key_bias=key_bias
    )  # [B, H, N, d]
    return (found * outputs.transpose(-2, -3)).sum(-1)


def _by_tables(
    queries: Tensor,
    outputs: Tensor,
    keys: Tensor,
    values: Tensor,
    key_bias: Tensor,
    mask: Tensor,
    top_k: int | None,
) -> Tensor:
    # Padding has weight 0, or, where all is padding, value 0: masking these small tables spares the large ones.
    keys = keys * (1 / math.sqrt(keys.shape[-1]))
    values = values * mask[..., None, None]
    key_bias = key_bias.masked_fill(~mask[:, None], torch.finfo(keys.dtype).min)
    if queries.dim() == 4:
        # [B, H, L, d] x [B, H, d, C] -> [B, H, L, C]
        scores = keys.transpose(1, 2) @ queries.permute(0, 2, 3, 1) + key_bias[..., None]
        worth = values.transpose(1, 2) @ outputs.permute(0, 2, 3, 1)
        return (_softmax(scores, mask[:, None, :, None], top_k) * worth).sum(2)
    # [H, B L, d] x [H, d, N] -> [H, B, L, N]: candidates last, so that every pass runs over whole rows of memory
    bias = key_bias.transpose(0, 1).flatten(1)[..., None]
    scores = torch.baddbmm(bias, _rows(keys), queries.permute(1, 2, 0)).unflatten(1, mask.shape)
    worth = torch.bmm(_rows(values), outputs.permute(1, 2, 0)).unflatten(1, mask.shape)
    return (_softmax(scores, mask[None, :, :, None], top_k) * worth).sum(2).transpose(0, 1)


def _softmax(scores: Tensor, mask: Tensor, top_k: int | None) -> Tensor:
    """Over dimension 2, the holdings."""
    if top_k is not None:
        mask = largest(scores, top_k, mask, dim=2)
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return as_changed(F.softmax(scores, 2), mask, 2)


def _rows(values: Tensor) -> Tensor:
    """[B, L, H, d] -> [H, B L, d]."""
    return values.permute(2, 0, 1, 3).flatten(1, 2)
