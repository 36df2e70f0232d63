"""The chunked cross-entropy is torch's cross_entropy, with its gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lightning_modules.chunked_softmax import chunked_cross_entropy
from lightning_modules.losses import softmax_cross_entropy


def example(dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(3)
    return {
        "hidden": torch.randn(37, 8, generator=generator, dtype=torch.float64).to(dtype),
        "table": torch.randn(11, 8, generator=generator, dtype=torch.float64).to(dtype),
        "bias": torch.randn(11, generator=generator, dtype=torch.float64).to(dtype),
        "targets": torch.randint(0, 11, (37,), generator=generator),
        "weights": torch.rand(37, generator=generator) + 0.1,
        "excluded": torch.rand(4, 11, generator=generator) < 0.4,
        "owner": torch.randint(0, 4, (37,), generator=generator),
    }


def learned(values: dict[str, Tensor]) -> list[Tensor]:
    return [values[name].clone().requires_grad_() for name in ("hidden", "table", "bias")]


@pytest.mark.parametrize("chunk_rows", [1, 5, 37, None])
def test_float32_equals_torch(chunk_rows: int | None) -> None:
    values = example()
    hidden, table, bias = learned(values)
    ours = chunked_cross_entropy(
        hidden,
        table,
        values["targets"],
        values["weights"],
        bias=bias,
        excluded=values["excluded"],
        owner=values["owner"],
        chunk_rows=chunk_rows,
    )
    given = torch.autograd.grad(ours * 3, (hidden, table, bias))
    hidden, table, bias = learned(values)
    theirs = softmax_cross_entropy(
        hidden @ table.T + bias, values["targets"], values["weights"], values["excluded"][values["owner"]]
    )
    expected = torch.autograd.grad(theirs * 3, (hidden, table, bias))
    assert torch.allclose(ours, theirs, atol=1e-5)
    for one, other in zip(given, expected, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_without_options_it_is_the_plain_mean() -> None:
    values = example()
    ours = chunked_cross_entropy(values["hidden"], values["table"], values["targets"], torch.ones(37))
    assert torch.allclose(ours, F.cross_entropy(values["hidden"] @ values["table"].T, values["targets"]), atol=1e-5)


def test_gradients_are_those_of_finite_differences() -> None:
    values = example(torch.float64)

    def loss(hidden: Tensor, table: Tensor, bias: Tensor) -> Tensor:
        return chunked_cross_entropy(
            hidden,
            table,
            values["targets"],
            values["weights"].double(),
            bias=bias,
            excluded=values["excluded"],
            owner=values["owner"],
            chunk_rows=9,
        )

    assert torch.autograd.gradcheck(loss, learned(values))


def test_bfloat16_is_within_two_hundredths() -> None:
    """Loss within 0.02; gradients within 2 % of their norm: bfloat16 has 8 bits, so one rounding is 0.4 %."""
    values = example()
    hidden, table, _ = learned(values)
    exact = chunked_cross_entropy(hidden, table, values["targets"], values["weights"])
    expected = torch.autograd.grad(exact, (hidden, table))
    rounded = values["hidden"].bfloat16().requires_grad_()
    ours = chunked_cross_entropy(rounded, table, values["targets"], values["weights"], chunk_rows=10)
    given = torch.autograd.grad(ours, (rounded, table))
    assert abs(ours.item() - exact.item()) < 0.02
    assert given[0].dtype == torch.bfloat16
    assert given[1].dtype == torch.float32
    for one, other in zip(given, expected, strict=True):
        assert (one.float() - other).norm() < 0.02 * other.norm()


def test_a_row_of_weight_zero_brings_nothing() -> None:
    values = example()
    weights = values["weights"].clone()
    weights[5] = 0
    table = values["table"].clone().requires_grad_()
    kept = torch.arange(37) != 5
    ours = chunked_cross_entropy(values["hidden"], table, values["targets"], weights, chunk_rows=10)
    alone = chunked_cross_entropy(values["hidden"][kept], table, values["targets"][kept], weights[kept])
    assert torch.allclose(ours, alone, atol=1e-6)
    assert torch.allclose(*(torch.autograd.grad(loss, table)[0] for loss in (ours, alone)), atol=1e-6)


def test_a_target_alone_among_its_candidates_has_loss_zero() -> None:
    values = example()
    hidden = values["hidden"].clone().requires_grad_()
    everything = torch.ones(4, 11, dtype=torch.bool)
    loss = chunked_cross_entropy(
        hidden, values["table"], values["targets"], values["weights"], excluded=everything, owner=values["owner"]
    )
    assert loss.item() == 0
    assert (torch.autograd.grad(loss, hidden)[0] == 0).all()
