"""What is added to an attention score for the sake of the key alone: its age, its value, the market's regime.

Each is a small module that turns :class:`KeyFacts` into a number per head and key. Adding a number to a score
multiplies its weight by the number's exponential, so a decay exp(-lambda * age) of the weight is -lambda * age of the
score, and any number of terms compose by addition. :func:`attend` takes the sum as ``key_bias``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from lightning_modules.histories import HistoryBatch
from lightning_modules.market_states import MarketView
from lightning_modules.settings import ModelSpec

MONTH_DAYS = 30.0


@dataclass(frozen=True)
class KeyFacts:
    """What is known of B rows of K keys, whatever the query."""

    age: Tensor  # [B, K] float, days before the question, at least 0
    later: Tensor  # [B, K] float, how many events came after it
    value: Tensor  # [B, K] float, log(1 + amount in EUR)
    affinity: Tensor  # [B, K, 2] float, how far the key is what the regime favours: in a bull, in a bear; else 0


def key_facts(batch: HistoryBatch, market: MarketView) -> KeyFacts:
    """Of the events of B histories, on the day that each question is asked."""
    age = (batch.now[:, None] - batch.days).clamp_min(0).to(batch.weights.dtype)
    later = batch.mask.flip(1).cumsum(1).flip(1) - 1
    return KeyFacts(age, later.clamp_min(0).to(age.dtype), batch.weights, market.affinity(batch.now, batch.items))


def age_and_regime(spec: ModelSpec, heads: int) -> list[nn.Module]:
    """The terms that a spec's ``decay``, ``step_decay`` and ``regime`` settings ask for."""
    terms: list[nn.Module] = []
    if spec.step_decay < 1:
        terms.append(StepDecay(heads, spec.step_decay, spec.decay_learned))
    if spec.decay != "off":
        kind = ExponentialDecay if spec.decay == "exponential" else PowerDecay
        terms.append(kind(heads, spec.decay_half_life_days, spec.decay_learned))
    if spec.regime != "off":
        terms.append(RegimeFactor(spec.regime_strength, spec.regime == "learned"))
    return terms


class ScoreModifier(Protocol):
    """A term of the score."""

    def __call__(self, facts: KeyFacts) -> Tensor:
        """[B, H, K] or [B, 1, K]."""
        ...


class ScoreModifiers(nn.Module):
    """The sum of several terms."""

    def __init__(self, terms: Iterable[nn.Module]) -> None:
        super().__init__()
        self.terms = nn.ModuleList(terms)

    def forward(self, facts: KeyFacts) -> Tensor | None:
        """[B, H or 1, K], None where there is no term."""
        total: Tensor | None = None
        for term in self.terms:
            added = term(facts)
            total = added if total is None else total + added
        return total


class ExponentialDecay(nn.Module):
    """weight * exp(-lambda * age): the older, the less, at one rate per head.

    Args:
        half_life_days: age at which a weight has halved, lambda = log 2 / half-life: where learning starts, or fixed.
        learned: whether lambda is a parameter (kept above 0 by learning its logarithm).
    """

    def __init__(self, heads: int, half_life_days: float, learned: bool) -> None:
        super().__init__()
        rate = torch.full((heads,), math.log(math.log(2) / half_life_days))
        self.log_rate = nn.Parameter(rate, requires_grad=learned)

    def forward(self, facts: KeyFacts) -> Tensor:
        """[B, H, K]."""
        return -self.log_rate.exp()[:, None] * facts.age[:, None]


class PowerDecay(nn.Module):
    """weight * (1 + age / 30 days) ** -p: steep at first and then ever slower, as people forget.

    ``half_life_days`` and ``learned`` as in :class:`ExponentialDecay`; p = log 2 / log(1 + half-life / 30).
    """

    def __init__(self, heads: int, half_life_days: float, learned: bool) -> None:
        super().__init__()
        power = math.log(2) / math.log1p(half_life_days / MONTH_DAYS)
        self.log_power = nn.Parameter(torch.full((heads,), math.log(power)), requires_grad=learned)

    def forward(self, facts: KeyFacts) -> Tensor:
        """[B, H, K]."""
        return -self.log_power.exp()[:, None] * torch.log1p(facts.age / MONTH_DAYS)[:, None]


class StepDecay(nn.Module):
    """weight * factor ** (events after it): what each later purchase costs a holding, however many days lie between.

    ``factor`` (below 1) is where learning starts, or fixed.
    """

    def __init__(self, heads: int, factor: float, learned: bool) -> None:
        super().__init__()
        self.log_rate = nn.Parameter(torch.full((heads,), math.log(-math.log(factor))), requires_grad=learned)

    def forward(self, facts: KeyFacts) -> Tensor:
        """[B, H, K]."""
        return -self.log_rate.exp()[:, None] * facts.later[:, None]


class ValueWeight(nn.Module):
    """weight * (1 + amount) ** power: at power 1, where it starts, a holding counts in proportion to its value."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.power = nn.Parameter(torch.ones(heads))

    def forward(self, facts: KeyFacts) -> Tensor:
        """[B, H, K]."""
        return self.power[:, None] * facts.value[:, None]


class RegimeFactor(nn.Module):
    """weight * exp(strength * affinity): in a bull market recent winners weigh more, in a bear market calm assets do.

    :meth:`of` is the same for items that are no keys: a model adds it to its candidates' scores.

    Args:
        strength: per unit of affinity (a standard deviation of momentum, or of calm), where learning starts, or fixed.
        learned: whether the two strengths (bull, bear) are parameters.
    """

    def __init__(self, strength: float, learned: bool) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.full((2,), strength), requires_grad=learned)

    def forward(self, facts: KeyFacts) -> Tensor:
        """[B, 1, K]."""
        return self.of(facts.affinity)[:, None]

    def of(self, affinity: Tensor) -> Tensor:
        """[..., 2] -> [...]."""
        return affinity @ self.strength
