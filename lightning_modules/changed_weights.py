"""Changing the attention weights of a fitted model while it scores: shuffled, or all alike.

If attention carries information, a model whose weights are shuffled among the holdings must score differently, and one
whose weights are even must score worse. Inside the context every softmax over keys (:func:`attend`, its linear twin and
:func:`candidate_attention`) hands its weights to the change and goes on with what comes back::

    change = Shuffled(seed)
    with changed_weights(change):
        scores = model.score(batch)
    if not change.over: ...  # this model scores without any attention weights: there is nothing to change

Without a context nothing is computed differently. Gradients flow through a change as through any gather.

Sources: Jain and Wallace 2019 (attention is not explanation: permuted weights), https://arxiv.org/abs/1902.10186;
Wiegreffe and Pinter 2019 (the uniform reference), https://arxiv.org/abs/1908.04626
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor


class WeightsChange:
    """What happens to weights; remembers over what ("holdings", "signals") it was asked to change them."""

    def __init__(self) -> None:
        self.over: set[str] = set()

    def __call__(self, weights: Tensor, allowed: Tensor | None, dim: int) -> Tensor:
        """Weights like ``weights``; ``allowed`` (bool, broadcastable, or None: all) says which keys may have any."""
        raise NotImplementedError


class Shuffled(WeightsChange):
    """The weights of each row dealt out anew among the keys that it may attend to.

    Rows that share their mask by broadcasting (heads, candidates of one customer) share one shuffle. Each shuffle comes
    from ``seed`` and its number within the context.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._generator = torch.Generator().manual_seed(seed)

    def __call__(self, weights: Tensor, allowed: Tensor | None, dim: int) -> Tensor:
        mask = torch.ones((), dtype=torch.bool) if allowed is None else allowed
        missing = weights.dim() - mask.dim()
        # Dimensions that the mask does not speak of are rows of their own; those it has at size 1 share a shuffle.
        shape = [*weights.shape[:missing], *mask.shape]
        shape[dim] = weights.shape[dim]
        mask = mask.to(weights.device).expand(shape)
        noise = torch.rand(shape, generator=self._generator).to(weights.device)
        place = torch.argsort((~mask).to(torch.uint8), dim=dim, stable=True)  # the allowed keys, in their order
        drawn = torch.argsort(noise.masked_fill(~mask, 2.0), dim=dim, stable=True)  # the allowed keys, in a random one
        source = torch.empty_like(place).scatter(dim, place, drawn)
        return weights.gather(dim, source.expand_as(weights))


class Uniform(WeightsChange):
    """Equal weights over the keys that a row may attend to."""

    def __call__(self, weights: Tensor, allowed: Tensor | None, dim: int) -> Tensor:
        if allowed is None:
            return torch.full_like(weights, 1 / weights.shape[dim])
        even = allowed.to(weights.dtype)
        return (even / even.sum(dim, keepdim=True).clamp_min(1)).expand_as(weights)


_ACTIVE: ContextVar[WeightsChange | None] = ContextVar("weights_change", default=None)


@contextmanager
def changed_weights(change: WeightsChange) -> Iterator[WeightsChange]:
    """Within, every attention over keys goes on with weights as ``change`` gives them back."""
    token = _ACTIVE.set(change)
    try:
        yield change
    finally:
        _ACTIVE.reset(token)


def is_changing() -> bool:
    """Whether a change is in force: then the weights must be formed, and a fused kernel will not do."""
    return _ACTIVE.get() is not None


def as_changed(weights: Tensor, allowed: Tensor | None, dim: int = -1, over: str = "holdings") -> Tensor:
    """``weights`` as the change in force makes them; themselves where none is."""
    change = _ACTIVE.get()
    if change is None:
        return weights
    change.over.add(over)
    return change(weights, allowed, dim if dim < 0 else dim - weights.dim())
