"""Positions, losses, learning rate, settings and features: small pure parts with exact answers."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from data_contracts.errors import ConfigError
from lightning_modules.features import FeatureMap, StandardisedFeatures
from lightning_modules.losses import softmax_cross_entropy
from lightning_modules.positions import sinusoidal_positions
from lightning_modules.settings import ModelSpec, TrainSettings
from lightning_modules.warmup import learning_rate


def test_sinusoidal_positions_literally() -> None:
    table = sinusoidal_positions(3, 4)
    expected = [[math.sin(p), math.cos(p), math.sin(p / 100), math.cos(p / 100)] for p in range(3)]
    assert torch.allclose(table, torch.tensor(expected))
    with pytest.raises(ValueError, match="even width, got 3"):
        sinusoidal_positions(2, 3)


def test_cross_entropy_literally() -> None:
    scores = torch.zeros(2, 4)
    targets = torch.tensor([0, 1])
    excluded = torch.tensor([[False, False, False, True], [True, True, False, False]])
    # Row 0: 3 candidates. Row 1: its target counts though marked, 3 candidates again.
    loss = softmax_cross_entropy(scores, targets, torch.ones(2), excluded)
    assert loss.item() == pytest.approx(math.log(3))
    assert softmax_cross_entropy(scores, targets, torch.ones(2)).item() == pytest.approx(math.log(4))


def test_cross_entropy_weights_rows_and_ignores_the_nan_of_a_row_without_weight() -> None:
    scores = torch.tensor([[0.0, math.log(3.0)], [float("nan"), 0.0], [0.0, 0.0]], requires_grad=True)
    loss = softmax_cross_entropy(scores, torch.tensor([0, 0, 0]), torch.tensor([3.0, 0.0, 1.0]))
    assert loss.item() == pytest.approx((3 * math.log(4) + math.log(2)) / 4)


def test_cross_entropy_with_one_candidate_is_zero_with_finite_gradient() -> None:
    scores = torch.randn(1, 3, requires_grad=True)
    excluded = torch.ones(1, 3, dtype=torch.bool)
    loss = softmax_cross_entropy(scores, torch.tensor([2]), torch.ones(1), excluded)
    loss.backward()
    assert loss.item() == 0
    assert scores.grad is not None
    assert torch.equal(scores.grad, torch.zeros(1, 3))


def test_learning_rate_literally() -> None:
    linear = [learning_rate(step, 20, base=1.0, warmup_fraction=0.1, floor=0.1) for step in range(20)]
    assert linear[:3] == pytest.approx([0.5, 1.0, 1 - 0.9 / 18])
    assert linear[-1] == pytest.approx(0.1)
    exponential = [learning_rate(s, 11, 1.0, 0.0, "exponential", 0.01) for s in range(11)]
    assert exponential[0] == 1.0
    assert exponential[5] == pytest.approx(0.1)
    assert exponential[10] == pytest.approx(0.01)


def test_learning_rate_of_a_single_step() -> None:
    assert learning_rate(0, 1) == 1e-3
    assert learning_rate(0, 1, warmup_fraction=0.0) == 1e-3


@given(
    total=st.integers(1, 500),
    fraction=st.floats(0, 0.99),
    decay=st.sampled_from(["linear", "exponential"]),
    floor=st.floats(1e-4, 1.0),
)
def test_learning_rate_climbs_to_base_then_only_falls(total: int, fraction: float, decay: str, floor: float) -> None:
    rates = [learning_rate(step, total, 1.0, fraction, decay, floor) for step in range(total)]  # type: ignore[arg-type]
    peak = max(math.ceil(fraction * total) - 1, 0)
    assert rates[peak] == pytest.approx(1.0)
    assert all(a < b for a, b in pairwise(rates[: peak + 1]))
    assert all(a >= b - 1e-12 for a, b in pairwise(rates[peak:]))
    assert all(0 < rate <= 1.0 + 1e-12 for rate in rates)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"step": 5, "total_steps": 5}, "step 5 is outside 0..4"),
        ({"step": 0, "total_steps": 5, "warmup_fraction": 1.0}, "warmup_fraction 1.0"),
        ({"step": 0, "total_steps": 5, "floor": 0.0}, "floor 0.0"),
        ({"step": 0, "total_steps": 5, "decay": "cosine"}, "decay 'cosine'"),
    ],
)
def test_learning_rate_refuses(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        learning_rate(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ModelSpec(kind="gru"), "kind is 'gru'"),  # type: ignore[arg-type]
        (lambda: ModelSpec(dim=7), "dim is 7"),
        (lambda: ModelSpec(dim=64, heads=3), "heads is 3"),
        (lambda: ModelSpec(dropout=1.0), "dropout is 1.0"),
        (lambda: TrainSettings(epochs=0), "epochs is 0"),
        (lambda: TrainSettings(recency_half_life_days=0.0), "recency_half_life_days is 0.0"),
        (lambda: TrainSettings(base_lr=0.0), "base_lr is 0.0"),
    ],
)
def test_settings_refuse_with_the_name_of_the_field(build: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        build()  # type: ignore[operator]
    assert "remedy: set " in str(caught.value)


def test_features_are_standardised_and_clipped_and_a_constant_column_vanishes() -> None:
    scaler = StandardisedFeatures(2)
    scaler.learn(torch.tensor([[1.0, 7.0], [3.0, 7.0]]))
    given_values = torch.tensor([[1.0, 7.0], [2.0, 9.0], [1000.0, 7.0]])
    assert torch.allclose(scaler(given_values), torch.tensor([[-1.0, 0.0], [0.0, 0.0], [5.0, 0.0]]))
    assert FeatureMap(0, 4)(torch.zeros(3, 0)).shape == (3, 4)
