"""Packed batches: every row once, attention as on padded sequences, on every path."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lightning_modules.attention import attend, split_heads
from lightning_modules.dropout import PooledDropout
from lightning_modules.packed import Packing
from lightning_modules.packed_attention import packed_attention, packed_weights

HEADS = 2
LENGTHS = [3, 1, 7, 7, 2, 12]


def example(kind: str = "random", lengths: list[int] = LENGTHS) -> tuple[Packing, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    packing = Packing.of(torch.tensor(lengths), HEADS, group=2)
    mixed = torch.randn(sum(lengths), 24, generator=generator)
    if kind == "identical":
        mixed = mixed[:1].expand_as(mixed).clone()
    if kind == "huge":
        mixed = mixed * 100
    return packing, mixed, -torch.rand(sum(lengths), HEADS, generator=generator) * 5


def by_sequence(mixed: Tensor, bias: Tensor | None, lengths: list[int]) -> Tensor:
    """The textbook: each sequence alone, through the weights path of the attention primitive."""
    outputs = []
    start = 0
    for length in lengths:
        rows = slice(start, start + length)
        query, key, value = (split_heads(part, HEADS) for part in mixed[rows].chunk(3, -1))
        added = None if bias is None else bias[rows].T[:, None, :]
        outputs.append(attend(query, key, value, bias=added, causal=True, weights=True)[0].transpose(0, 1).flatten(1))
        start += length
    return torch.cat(outputs)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 19), min_size=1, max_size=12), st.integers(1, 12), st.integers(1, 3), st.integers(1, 16))
def test_every_row_and_head_has_exactly_one_cell(lengths: list[int], group: int, heads: int, multiple: int) -> None:
    packing = Packing.of(torch.tensor(lengths), heads, group=group, row_multiple=multiple)
    real = sum(lengths)
    assert packing.real == real
    assert len(packing.owner) % multiple == 0
    assert len(packing.owner) - real < multiple
    cells = packing.cells[: real * heads]
    assert packing.rows[cells].tolist() == list(range(real * heads))
    assert (packing.cells[real * heads :] == len(packing.rows)).all()
    assert sorted([*cells.tolist(), *packing.padding.tolist()]) == list(range(len(packing.rows)))
    assert packing.last.tolist() == [sum(lengths[: i + 1]) - 1 for i in range(len(lengths))]
    assert packing.owner[:real].tolist() == [i for i, length in enumerate(lengths) for _ in range(length)]
    assert packing.place[:real].tolist() == [place for length in lengths for place in range(length)]


def test_an_empty_sequence_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one row"):
        Packing.of(torch.tensor([2, 0]))


@pytest.mark.parametrize("kind", ["random", "identical", "huge"])
@pytest.mark.parametrize("lengths", [LENGTHS, [1], [1, 1, 1], [5, 5]])
@pytest.mark.parametrize("biased", [False, True])
def test_the_fused_path_equals_the_weights_path(kind: str, lengths: list[int], biased: bool) -> None:
    packing, mixed, bias = example(kind, lengths)
    key_bias = bias if biased else None
    expected = by_sequence(mixed, key_bias, lengths)
    scale = expected.abs().max().clamp_min(1)
    assert torch.allclose(packed_attention(mixed, packing, key_bias) / scale, expected / scale, atol=1e-5)
    output, weights = packed_weights(mixed, packing, key_bias)
    assert torch.allclose(output / scale, expected / scale, atol=1e-5)
    for group, mine in zip(packing.groups, weights, strict=True):
        assert mine.shape == (group.size, HEADS, group.width, group.width)
        assert torch.allclose(mine.sum(-1), torch.ones(()), atol=1e-5)


def gradients(mixed: Tensor, bias: Tensor, packing: Packing | None) -> tuple[Tensor, ...]:
    mixed, bias = mixed.clone().requires_grad_(), bias.clone().requires_grad_()
    out = by_sequence(mixed, bias, LENGTHS) if packing is None else packed_attention(mixed, packing, bias)
    generator = torch.Generator().manual_seed(9)
    return torch.autograd.grad((out * torch.randn(out.shape, generator=generator)).sum(), (mixed, bias))


def test_gradients_reach_everything_through_the_fused_path() -> None:
    packing, mixed, bias = example()
    for one, other in zip(gradients(mixed, bias, packing), gradients(mixed, bias, None), strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_the_written_out_bfloat16_path_is_within_its_rounding() -> None:
    """Output and gradients within 2 % of their norm."""
    packing, mixed, bias = example()
    for key_bias in (None, bias):
        expected = by_sequence(mixed, key_bias, LENGTHS)
        ours = packed_attention(mixed.bfloat16(), packing, key_bias)
        assert (ours.float() - expected).norm() < 0.02 * expected.norm()
    for one, other in zip(gradients(mixed.bfloat16(), bias, packing), gradients(mixed, bias, None), strict=True):
        assert (one.float() - other).norm() < 0.02 * other.norm()


def test_pooled_dropout_keeps_the_share_and_the_mean() -> None:
    dropout = PooledDropout(0.2)
    ones = torch.ones(20_000, 32)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        dropped, again = dropout(ones), dropout(ones)
        torch.manual_seed(0)
        repeated = dropout(ones)
    assert set(dropped.unique().tolist()) == {0.0, 1.25}
    assert float((dropped == 0).float().mean()) == pytest.approx(0.2, abs=0.003)
    assert float((dropped == 0).float().mean(0).std()) < 0.01  # every column alike
    assert not torch.equal(dropped, again)
    assert torch.equal(dropped, repeated)
    # Neighbours are independent: both dropped with probability 0.04.
    zero = dropped == 0
    assert float((zero[:, :-1] & zero[:, 1:]).float().mean()) == pytest.approx(0.04, abs=0.002)
    assert torch.equal(dropout.eval()(ones), ones)
