"""Sampled losses: exact by hand, equal to the full softmax in the limit, and deaf to what is masked."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lightning_modules.losses import (
    bayesian_personalised_ranking,
    gbce_power,
    generalised_binary_cross_entropy,
    sampled_softmax,
    softmax_cross_entropy,
)

Loss = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]
LOSSES: dict[str, Loss] = {
    "sampled softmax": lambda good, bad, weights, excluded: sampled_softmax(
        good, bad, weights, torch.zeros(bad.shape[1]), excluded
    ),
    "gBCE": lambda good, bad, weights, excluded: generalised_binary_cross_entropy(good, bad, weights, 0.5, excluded),
    "BPR": bayesian_personalised_ranking,
}
ONE = torch.ones(1)


def test_sampled_softmax_by_hand() -> None:
    good, bad = torch.tensor([math.log(2.0)]), torch.tensor([[0.0, math.log(3.0)]])
    # 2 against 2 + 1 / 0.5 + 3 / 1.5 = 6.
    loss = sampled_softmax(good, bad, ONE, torch.tensor([0.5, 1.5]).log())
    assert loss.item() == pytest.approx(math.log(3))
    # A target that is there only because it was drawn, every second time: 4 against 8.
    loss = sampled_softmax(good, bad, ONE, torch.tensor([0.5, 1.5]).log(), None, torch.tensor([0.5]).log())
    assert loss.item() == pytest.approx(math.log(2))
    # The second drawn item left out: 2 against 4.
    loss = sampled_softmax(good, bad, ONE, torch.tensor([0.5, 1.5]).log(), torch.tensor([[False, True]]))
    assert loss.item() == pytest.approx(math.log(2))


def test_sampled_softmax_over_every_other_item_once_is_the_full_softmax() -> None:
    scores = torch.randn(5, 9, generator=torch.Generator().manual_seed(0))
    targets, weights = torch.tensor([0, 3, 8, 2, 2]), torch.tensor([1.0, 0.5, 2.0, 0.0, 1.0])
    is_target = torch.nn.functional.one_hot(targets, 9).bool()
    good = scores[is_target]
    full = softmax_cross_entropy(scores, targets, weights)
    assert sampled_softmax(good, scores, weights, torch.zeros(9), is_target).item() == pytest.approx(full.item(), rel=1e-6)


def test_the_correction_makes_the_estimate_of_the_sum_unbiased() -> None:
    scores = torch.tensor([1.0, 0.0, -1.0, 2.0])
    chance = torch.tensor([0.4, 0.3, 0.2, 0.1])
    drawn = torch.multinomial(chance, 200_000, replacement=True, generator=torch.Generator().manual_seed(1))
    # exp(loss) * exp(good) - exp(good) is what the drawn items are taken to add up to.
    good = torch.tensor([0.5])
    loss = sampled_softmax(good, scores[drawn][None], ONE, (chance[drawn] * len(drawn)).log())
    assert math.exp(loss.item() + 0.5) - math.exp(0.5) == pytest.approx(float(scores.exp().sum()), rel=0.01)


def test_gbce_by_hand() -> None:
    # sigmoid(log 3) = 3/4; 1 - sigmoid(0) = 1/2, 1 - sigmoid(log 3) = 1/4.
    good, bad = torch.tensor([math.log(3.0)]), torch.tensor([[0.0, math.log(3.0)]])
    expected = -(0.5 * math.log(3 / 4) + math.log(1 / 2) + math.log(1 / 4)) / 3
    assert generalised_binary_cross_entropy(good, bad, ONE, 0.5).item() == pytest.approx(expected)
    without = -(0.5 * math.log(3 / 4) + math.log(1 / 2)) / 2
    excluded = torch.tensor([[False, True]])
    assert generalised_binary_cross_entropy(good, bad, ONE, 0.5, excluded).item() == pytest.approx(without)


def test_the_power_of_gbce() -> None:
    assert gbce_power(10, 101, 0.0) == pytest.approx(1.0)  # plain binary cross-entropy
    assert gbce_power(10, 101, 1.0) == pytest.approx(0.1)  # the sampling rate
    assert gbce_power(10, 101, 0.75) == pytest.approx(0.1 * (0.75 * (1 - 10) + 10))
    assert gbce_power(500, 101, 0.75) == pytest.approx(1.0)  # everything is drawn


def test_bpr_by_hand() -> None:
    good, bad = torch.tensor([math.log(3.0), 0.0]), torch.tensor([[0.0, math.log(3.0)], [0.0, 0.0]])
    rows = [(math.log(4 / 3) + math.log(2)) / 2, math.log(2)]
    loss = bayesian_personalised_ranking(good, bad, torch.tensor([3.0, 1.0]))
    assert loss.item() == pytest.approx((3 * rows[0] + rows[1]) / 4)
    excluded = torch.tensor([[False, True], [True, True]])
    loss = bayesian_personalised_ranking(good, bad, torch.tensor([3.0, 1.0]), excluded)
    assert loss.item() == pytest.approx(3 * math.log(4 / 3) / 4)


@pytest.mark.parametrize("name", LOSSES)
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), poison=st.sampled_from([float("nan"), float("inf"), -float("inf"), 1e30]))
def test_a_masked_row_changes_nothing_whatever_stands_in_it(name: str, seed: int, poison: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    good, bad = torch.randn(4, generator=generator), torch.randn(4, 3, generator=generator)
    excluded = torch.rand(4, 3, generator=generator) < 0.3
    weights = torch.tensor([1.0, 0.0, 2.0, 0.0])
    poisoned_good, poisoned_bad = good.clone(), bad.clone()
    poisoned_good[1], poisoned_bad[3] = poison, poison
    poisoned_good.requires_grad_(), poisoned_bad.requires_grad_()
    kept = [0, 2]
    expected = LOSSES[name](good[kept], bad[kept], weights[kept], excluded[kept])
    loss = LOSSES[name](poisoned_good, poisoned_bad, weights, excluded)
    loss.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    assert poisoned_good.grad is not None
    assert poisoned_bad.grad is not None
    assert poisoned_good.grad[[1, 3]].tolist() == [0.0, 0.0]
    assert poisoned_bad.grad[[1, 3]].abs().sum() == 0
    assert poisoned_bad.grad[excluded].abs().sum() == 0
    assert poisoned_bad.grad.isfinite().all()


@pytest.mark.parametrize("name", LOSSES)
def test_nothing_but_masked_rows_is_a_loss_of_zero_with_no_gradient(name: str) -> None:
    good, bad = torch.zeros(2, requires_grad=True), torch.full((2, 3), float("nan"))
    loss = LOSSES[name](good, bad, torch.zeros(2), None)
    loss.backward()
    assert loss.item() == 0
    assert good.grad is not None
    assert good.grad.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("name", LOSSES)
def test_every_negative_left_out_is_finite(name: str) -> None:
    good, bad = torch.zeros(2, requires_grad=True), torch.zeros(2, 3)
    loss = LOSSES[name](good, bad, torch.ones(2), torch.ones(2, 3, dtype=torch.bool))
    loss.backward()
    assert loss.isfinite()
    assert good.grad is not None
    assert good.grad.isfinite().all()
