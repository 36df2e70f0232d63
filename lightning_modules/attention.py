"""The attention primitive: scaled dot-product, one head or many, causal or not.

Two paths give the same result (a test holds them to 1e-5):

- the fast path, torch's fused kernel, which never materialises the weights;
- the weights path, which returns them, for explanations and for scores that are built from them.

A query that may attend to nothing gets weights of zero and an output of zero, never NaN.
Score modifiers (age, regime, ...) enter as ``bias``, added to the scaled scores before the softmax.

Source: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def masked_softmax(scores: Tensor, mask: Tensor | None, dim: int = -1) -> Tensor:
    """Softmax over ``dim`` of the entries where ``mask`` (broadcastable, True = may attend); others get 0."""
    if mask is None:
        return torch.softmax(scores, dim)
    # The lowest finite number, not -inf: a row without any real entry stays finite and is zeroed afterwards.
    weights = torch.softmax(scores.masked_fill(~mask, torch.finfo(scores.dtype).min), dim)
    return weights * mask.to(weights.dtype)


def causal_mask(queries: int, keys: int, device: torch.device | None = None) -> Tensor:
    """[Q, K] bool, True where key <= query."""
    return torch.ones(queries, keys, dtype=torch.bool, device=device).tril()


def attention_weights(
    query: Tensor, key: Tensor, *, mask: Tensor | None = None, bias: Tensor | None = None, causal: bool = False
) -> Tensor:
    """Weights [..., Q, K] of query [..., Q, d] over key [..., K, d]; each row sums to 1, or to 0 if all is masked."""
    # [..., Q, d] x [..., d, K] -> [..., Q, K]
    scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
    if bias is not None:
        scores = scores + bias
    if causal:
        allowed = causal_mask(scores.shape[-2], scores.shape[-1], scores.device)
        mask = allowed if mask is None else mask & allowed
    return masked_softmax(scores, mask)


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
    causal: bool = False,
    dropout: float = 0.0,
    weights: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Scaled dot-product attention.

    Args:
        query: [..., Q, d]; key: [..., K, d]; value: [..., K, v].
        mask: bool, broadcastable to [..., Q, K], True where a query may attend to a key.
        bias: float, broadcastable to [..., Q, K], added to the scaled scores.
        causal: query i may attend to keys 0..i only.
        dropout: probability of dropping a weight; 0 outside training.
        weights: take the weights path and return them.

    Returns:
        output [..., Q, v], and the weights [..., Q, K] (before dropout) or None on the fast path.
    """
    if weights:
        given = attention_weights(query, key, mask=mask, bias=bias, causal=causal)
        # [..., Q, K] x [..., K, v] -> [..., Q, v]
        return F.dropout(given, dropout, training=dropout > 0) @ value, given
    if mask is None and bias is None:
        return F.scaled_dot_product_attention(query, key, value, dropout_p=dropout, is_causal=causal), None
    if causal:
        allowed = causal_mask(query.shape[-2], key.shape[-2], query.device)
        mask = allowed if mask is None else mask & allowed
    return _fused_with_mask(query, key, value, mask, bias, dropout), None


def _fused_with_mask(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, bias: Tensor | None, dropout: float
) -> Tensor:
    if bias is None:
        blocked: Tensor | None = mask
    elif mask is None:
        blocked = bias.to(query.dtype)
    else:
        blocked = torch.where(mask, bias.to(query.dtype), torch.finfo(query.dtype).min)
    output = F.scaled_dot_product_attention(query, key, value, attn_mask=blocked, dropout_p=dropout)
    if mask is None:
        return output
    # A row with nothing to attend to is zero by our definition, whatever the kernel makes of it.
    return torch.where(mask.any(-1, keepdim=True), output, torch.zeros((), dtype=output.dtype, device=output.device))


class MultiHeadAttention(nn.Module):
    """Self- or cross-attention with ``heads`` heads over width ``dim``."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"dim {dim} is not a multiple of heads {heads}")
        self.heads = heads
        self.dropout = dropout
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)
        self.output = nn.Linear(dim, dim)

    def forward(
        self,
        queries: Tensor,
        keys: Tensor,
        *,
        mask: Tensor | None = None,
        bias: Tensor | None = None,
        causal: bool = False,
        weights: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """queries [B, Q, D] over keys [B, K, D] -> output [B, Q, D], weights [B, H, Q, K] or None."""
        query = split_heads(self.query(queries), self.heads)
        key = split_heads(self.key(keys), self.heads)
        value = split_heads(self.value(keys), self.heads)
        dropout = self.dropout if self.training else 0.0
        mixed, given = attend(query, key, value, mask=mask, bias=bias, causal=causal, dropout=dropout, weights=weights)
        return self.output(mixed.transpose(-2, -3).flatten(-2)), given


def split_heads(values: Tensor, heads: int) -> Tensor:
    """[..., L, D] -> [..., H, L, D / H]."""
    return values.unflatten(-1, (heads, -1)).transpose(-2, -3)
