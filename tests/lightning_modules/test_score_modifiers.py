"""Each term of a score does to the weights what its formula says, and terms compose."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lightning_modules.attention import attend
from lightning_modules.histories import Histories
from lightning_modules.market_states import MarketView
from lightning_modules.score_modifiers import (
    ExponentialDecay,
    KeyFacts,
    PowerDecay,
    RegimeFactor,
    ScoreModifiers,
    StepDecay,
    ValueWeight,
    key_facts,
)
from tests.lightning_modules.small_histories import write


def facts(age: list[float], value: list[float] | None = None, affinity: list[tuple[float, float]] | None = None) -> KeyFacts:
    keys = len(age)
    return KeyFacts(
        age=torch.tensor([age]),
        later=torch.arange(keys - 1.0, -1.0, -1.0)[None],
        value=torch.zeros(1, keys) if value is None else torch.tensor([value]),
        affinity=torch.zeros(1, keys, 2) if affinity is None else torch.tensor([affinity]),
    )


def weights(term: nn.Module, known: KeyFacts) -> torch.Tensor:
    """Of identical keys, one head: only the term tells them apart."""
    keys = known.age.shape[1]
    same = torch.ones(1, 1, keys, 2)
    _, given_weights = attend(same[:, :, :1], same, same, key_bias=term(known), weights=True)
    assert given_weights is not None
    return given_weights[0, 0, 0]


@pytest.mark.parametrize("decay", [ExponentialDecay, PowerDecay])
def test_a_weight_halves_at_the_half_life(decay: type[ExponentialDecay] | type[PowerDecay]) -> None:
    assert torch.allclose(weights(decay(1, 90.0, False), facts([0.0, 90.0])), torch.tensor([2 / 3, 1 / 3]), atol=1e-5)


def test_each_later_purchase_costs_a_factor() -> None:
    assert torch.allclose(weights(StepDecay(1, 0.5, True), facts([5.0, 5.0, 5.0])), torch.tensor([1.0, 2.0, 4.0]) / 7, atol=1e-6)


def test_the_facts_of_a_history(tmp_path: Path) -> None:
    market = MarketView(write(tmp_path, [[(1, 9), (2, 4), (1, 0)], [(2, 3)]], 2).market)
    batch = Histories.open(tmp_path).batch(np.arange(2))
    hidden = replace(batch, items=batch.items.masked_fill(batch.items == 2, 0))  # as a training target is
    known = key_facts(hidden, market)
    assert known.age[0].tolist() == [9.0, 4.0, 0.0]
    assert known.later[0].tolist() == [1.0, 0.0, 0.0]  # what is hidden counts for nobody
    assert known.value[0].tolist() == [1.0, 1.0, 1.0]


def test_exponential_decay_is_the_softmax_times_the_exponential_of_the_age() -> None:
    torch.manual_seed(0)
    query, key, value = torch.randn(1, 1, 1, 4), torch.randn(1, 1, 3, 4), torch.randn(1, 1, 3, 4)
    age = torch.tensor([400.0, 30.0, 0.0])
    _, base = attend(query, key, value, weights=True)
    term = ExponentialDecay(1, 50.0, True)
    _, decayed = attend(query, key, value, key_bias=term(facts(age.tolist())), weights=True)
    assert base is not None
    assert decayed is not None
    by_formula = base * torch.exp(-age * torch.log(torch.tensor(2.0)) / 50)
    assert torch.allclose(decayed, by_formula / by_formula.sum(), atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(
    ages=st.lists(st.floats(0, 5000), min_size=2, max_size=6),
    half_life=st.floats(1, 3000),
    power=st.booleans(),
)
def test_the_older_never_weighs_more(ages: list[float], half_life: float, power: bool) -> None:
    term = (PowerDecay if power else ExponentialDecay)(1, half_life, True)
    given_weights = weights(term, facts(sorted(ages)))
    assert given_weights.isfinite().all()
    assert (given_weights.diff() <= 1e-6).all()


def test_at_power_one_a_holding_counts_in_proportion_to_its_value() -> None:
    value = torch.log1p(torch.tensor([999.0, 2999.0, 0.0])).tolist()
    assert torch.allclose(weights(ValueWeight(1), facts([0.0] * 3, value)), torch.tensor([1000.0, 3000.0, 1.0]) / 4001, atol=1e-5)


def test_the_regime_factor_weighs_winners_in_a_bull_and_calm_in_a_bear() -> None:
    term = RegimeFactor(float(torch.tensor(3.0).log()), False)
    bull = facts([0.0, 0.0], affinity=[(1.0, 0.0), (0.0, 0.0)])
    bear = facts([0.0, 0.0], affinity=[(0.0, 0.0), (0.0, 1.0)])
    neutral = facts([0.0, 0.0])
    assert torch.allclose(weights(term, bull), torch.tensor([0.75, 0.25]))
    assert torch.allclose(weights(term, bear), torch.tensor([0.25, 0.75]))
    assert torch.allclose(weights(term, neutral), torch.tensor([0.5, 0.5]))


def test_terms_add_up_and_only_the_learned_ones_learn() -> None:
    parts = [ExponentialDecay(2, 90.0, True), PowerDecay(2, 90.0, False), ValueWeight(2), RegimeFactor(1.0, False)]
    terms = ScoreModifiers(parts)
    known = facts([10.0, 0.0], [1.0, 2.0], [(0.5, 0.0), (0.0, 0.0)])
    total = terms(known)
    assert total is not None
    assert torch.allclose(total, sum(term(known) for term in terms.terms))
    total.sum().backward()
    assert [parameter.grad is not None for parameter in terms.parameters()] == [True, False, True, False]
    assert ScoreModifiers([])(known) is None
