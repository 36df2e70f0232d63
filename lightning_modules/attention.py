"""The attention primitive: scaled dot-product, one head or many, causal or not, with composable changes of its scores.

Two paths give the same result (a test holds them to 1e-5):

- the fast path, torch's fused kernel, which never materialises the weights (for ``top_k`` on a CPU our own);
- the weights path, which returns them, for explanations and for scores that are built from them.

What changes a score enters in one of four ways, which may be combined:

- ``key_bias``, a number per key (age, regime, value: :mod:`lightning_modules.score_modifiers`). It rides along as one
  more dimension of query and key, so the fused kernel keeps its speed and hands the term its gradient;
- ``bias``, a number per query and key;
- ``window``, only the most recent keys of a causal query; ``mask``, any other choice of keys;
- ``top_k``, only the keys with the largest scores of each query.

A query that may attend to nothing gets weights of zero and an output of zero, never NaN.

Sources: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762; top-k: Zhao et al. 2019 (explicit sparse
transformer), https://arxiv.org/abs/1912.11637
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_modules.changed_weights import as_changed, is_changing
from lightning_modules.linear_attention import linear_attention

SPARSE_FROM = 8
"""With so many times ``top_k`` keys or more, keeping only what a query keeps is the faster way (on a CPU)."""


def masked_softmax(scores: Tensor, mask: Tensor | None, dim: int = -1) -> Tensor:
    """Softmax over ``dim`` of the entries where ``mask`` (broadcastable, True = may attend); others get 0."""
    if mask is None:
        return torch.softmax(scores, dim)
    # The lowest finite number, not -inf: a row without any real entry stays finite and is zeroed afterwards.
    weights = torch.softmax(scores.masked_fill(~mask, torch.finfo(scores.dtype).min), dim)
    return weights * mask.to(weights.dtype)


def causal_mask(queries: int, keys: int, device: torch.device | None = None, window: int | None = None) -> Tensor:
    """[Q, K] bool, True where key <= query, and key > query - window if a window is given."""
    allowed = torch.ones(queries, keys, dtype=torch.bool, device=device).tril()
    return allowed if window is None else allowed.triu(1 - window)


def most_recent(mask: Tensor, count: int) -> Tensor:
    """[..., K] bool: of the True entries of ``mask`` (oldest first) only the last ``count``."""
    behind = mask.flip(-1).cumsum(-1).flip(-1)  # how many real keys stand at or after this one
    return mask & (behind <= count)


def largest(scores: Tensor, count: int, mask: Tensor | None, dim: int = -1) -> Tensor:
    """bool like ``scores``: the ``count`` largest allowed scores along ``dim``.

    Scores equal to the last of them are kept too, so the choice depends on the scores and not on the keys' order.
    """
    allowed = torch.ones_like(scores, dtype=torch.bool) if mask is None else mask.expand_as(scores)
    if count >= scores.shape[dim]:
        return allowed
    masked = scores.detach().masked_fill(~allowed, -torch.inf)
    threshold = masked.topk(count, dim).values.narrow(dim, count - 1, 1)
    return allowed & (masked >= threshold)


def attention_weights(
    query: Tensor,
    key: Tensor,
    *,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
    key_bias: Tensor | None = None,
    causal: bool = False,
    window: int | None = None,
    top_k: int | None = None,
) -> Tensor:
    """Weights [..., Q, K] of query [..., Q, d] over key [..., K, d]; each row sums to 1, or to 0 if all is masked.

    The arguments are those of :func:`attend`.
    """
    # [..., Q, d] x [..., d, K] -> [..., Q, K]
    scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
    if bias is not None:
        scores = scores + bias
    if key_bias is not None:
        scores = scores + _relative(key_bias, mask)[..., None, :]
    mask = _allowed(scores.shape[-2], scores.shape[-1], scores.device, mask, causal, window)
    if top_k is not None:
        mask = largest(scores, top_k, mask)
    return as_changed(masked_softmax(scores, mask), mask)


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
    key_bias: Tensor | None = None,
    causal: bool = False,
    window: int | None = None,
    top_k: int | None = None,
    dropout: float = 0.0,
    weights: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Scaled dot-product attention.

    Args:
        query: [..., Q, d]; key: [..., K, d]; value: [..., K, v].
        mask: bool, broadcastable to [..., Q, K], True where a query may attend to a key.
        bias: float, broadcastable to [..., Q, K], added to the scaled scores.
        key_bias: float, broadcastable to [..., K], added to every query's scaled score of that key. What all keys of a
            row share has no effect.
        causal: query i may attend to keys 0..i only.
        window: with ``causal``, only the ``window`` most recent of them.
        top_k: each query keeps its ``top_k`` largest scores (and any equal to the last of them). There is no fused
            kernel for this: on a CPU, without ``bias`` and with many keys the fast path is
            :mod:`lightning_modules.sparse_attention`; else it computes all weights and does not return them.
        dropout: probability of dropping a weight; 0 outside training.
        weights: take the weights path and return them.

    Returns:
        output [..., Q, v], and the weights [..., Q, K] (before dropout) or None on the fast path.

    Raises:
        ValueError: ``window`` without ``causal``, or ``window`` or ``top_k`` below 1.
    """
    if (window is not None and (not causal or window < 1)) or (top_k is not None and top_k < 1):
        raise ValueError(f"window={window} needs causal attention, and window and top_k={top_k} are at least 1")
    sparse = top_k is not None and bias is None and query.device.type == "cpu" and key.shape[-2] >= SPARSE_FROM * top_k
    if weights or is_changing() or (top_k is not None and not sparse):
        given = attention_weights(query, key, mask=mask, bias=bias, key_bias=key_bias, causal=causal, window=window, top_k=top_k)
        # [..., Q, K] x [..., K, v] -> [..., Q, v]
        return F.dropout(given, dropout, training=dropout > 0) @ value, given if weights else None
    scale, width = 1 / math.sqrt(query.shape[-1]), value.shape[-1]
    if key_bias is not None:
        query, key = _with_key_bias(query, key, _relative(key_bias, mask))
    if sparse and top_k is not None:
        from lightning_modules.sparse_attention import sparse_attention  # with scipy, which no other kind of attention needs

        chosen = sparse_attention(query, key, value, top_k, scale, mask=mask, causal=causal, window=window, dropout=dropout)
        return chosen, None
    if key_bias is not None:
        # The fused kernels want one width for all three: as many dimensions more, of zeros.
        wide = max(query.shape[-1], width)
        query, key, value = (F.pad(part, (0, wide - part.shape[-1])) for part in (query, key, value))
    if mask is None and bias is None and window is None:
        fused = F.scaled_dot_product_attention(query, key, value, dropout_p=dropout, is_causal=causal, scale=scale)
        return fused[..., :width], None
    mask = _allowed(query.shape[-2], key.shape[-2], query.device, mask, causal, window)
    return _fused_with_mask(query, key, value, mask, bias, dropout, scale)[..., :width], None


def _allowed(
    queries: int, keys: int, device: torch.device, mask: Tensor | None, causal: bool, window: int | None
) -> Tensor | None:
    if not causal:
        return mask
    allowed = causal_mask(queries, keys, device, window)
    return allowed if mask is None else mask & allowed


def _relative(key_bias: Tensor, mask: Tensor | None) -> Tensor:
    """The bias less its largest value in a row, which softmax does not see: ages in days since 1970 would round."""
    if mask is not None and mask.shape[-2] == 1:  # a padded key must not set the zero
        real = mask.squeeze(-2)
        top = torch.where(real, key_bias, torch.finfo(key_bias.dtype).min).amax(-1, keepdim=True)
        key_bias = torch.where(real, key_bias, top)
    else:
        top = key_bias.amax(-1, keepdim=True)
    return key_bias - top.detach()


def _with_key_bias(query: Tensor, key: Tensor, key_bias: Tensor) -> tuple[Tensor, Tensor]:
    """q' = [q, sqrt d], k' = [k, b]: at the unchanged scale 1 / sqrt d their product is q . k / sqrt d + b."""
    one = query.new_full((*query.shape[:-1], 1), math.sqrt(query.shape[-1]))
    extra = key_bias.to(key.dtype).expand(key.shape[:-1])[..., None]
    return torch.cat([query, one], -1), torch.cat([key, extra], -1)


def _fused_with_mask(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, bias: Tensor | None, dropout: float, scale: float
) -> Tensor:
    if bias is None:
        blocked: Tensor | None = mask
    elif mask is None:
        blocked = bias.to(query.dtype)
    else:
        blocked = torch.where(mask, bias.to(query.dtype), torch.finfo(query.dtype).min)
    output = F.scaled_dot_product_attention(query, key, value, attn_mask=blocked, dropout_p=dropout, scale=scale)
    if mask is None:
        return output
    # A row with nothing to attend to is zero by our definition, whatever the kernel makes of it.
    return torch.where(mask.any(-1, keepdim=True), output, torch.zeros((), dtype=output.dtype, device=output.device))


class MultiHeadAttention(nn.Module):
    """Self- or cross-attention with ``heads`` heads over width ``dim``.

    ``kernel`` is the softmax, or the linear feature map of :mod:`lightning_modules.linear_attention`, whose cost grows
    with the length and not with its square; ``window`` and ``top_k`` (softmax only) are those of :func:`attend`.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        dropout: float,
        *,
        kernel: Literal["softmax", "linear"] = "softmax",
        window: int | None = None,
        top_k: int | None = None,
    ) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"dim {dim} is not a multiple of heads {heads}")
        if kernel == "linear" and (window is not None or top_k is not None):
            raise ValueError("linear attention has neither window nor top_k: it never forms a score")
        self.heads = heads
        self.dropout = dropout
        self.kernel = kernel
        self.window = window
        self.top_k = top_k
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
        key_bias: Tensor | None = None,
        causal: bool = False,
        weights: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """queries [B, Q, D] over keys [B, K, D] -> output [B, Q, D], weights [B, H, Q, K] or None.

        ``key_bias`` is broadcastable to [B, H, K]. With the linear kernel ``mask`` is over keys only ([B, 1, 1, K]),
        there is no ``bias``, and dropout falls on the output, for there are no weights to drop.
        """
        query = split_heads(self.query(queries), self.heads)
        key = split_heads(self.key(keys), self.heads)
        value = split_heads(self.value(keys), self.heads)
        dropout = self.dropout if self.training else 0.0
        if self.kernel == "linear":
            if bias is not None or (mask is not None and mask.shape[-2] != 1):
                raise ValueError("linear attention takes a mask over keys and a key_bias, nothing per query and key")
            real = None if mask is None else mask.squeeze(-2)
            mixed, given = linear_attention(query, key, value, mask=real, key_bias=key_bias, causal=causal, weights=weights)
            mixed = F.dropout(mixed, dropout, training=dropout > 0)
        else:
            mixed, given = attend(
                query,
                key,
                value,
                mask=mask,
                bias=bias,
                key_bias=key_bias,
                causal=causal,
                window=self.window if causal else None,
                top_k=self.top_k,
                dropout=dropout,
                weights=weights,
            )
        return self.output(mixed.transpose(-2, -3).flatten(-2)), given


def split_heads(values: Tensor, heads: int) -> Tensor:
    """[..., L, D] -> [..., H, L, D / H]."""
    return values.unflatten(-1, (heads, -1)).transpose(-2, -3)
