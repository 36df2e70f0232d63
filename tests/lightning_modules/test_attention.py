"""The two paths of the attention primitive agree, and nothing degenerate gives NaN."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_modules.attention import MultiHeadAttention, attend, attention_weights, masked_softmax


def test_weights_of_a_literal_example() -> None:
    query = torch.tensor([[2.0, 0.0]])
    key = torch.tensor([[0.0, 1.0], [torch.tensor(3.0).log() / 2 * 2**0.5, 0.0]])
    # Scaled scores are 0 and log 3.
    assert torch.allclose(attention_weights(query, key), torch.tensor([[0.25, 0.75]]))
    bias = torch.tensor([[torch.tensor(3.0).log(), 0.0]])
    assert torch.allclose(attention_weights(query, key, bias=bias), torch.tensor([[0.5, 0.5]]))


def test_causal_weights_never_look_ahead() -> None:
    weights = attention_weights(torch.ones(3, 2), torch.ones(3, 2), causal=True)
    expected = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [1 / 3, 1 / 3, 1 / 3]])
    assert torch.allclose(weights, expected)


@settings(max_examples=60, deadline=None)
@given(
    batch=st.integers(1, 3),
    heads=st.integers(1, 3),
    queries=st.integers(1, 5),
    keys=st.integers(1, 5),
    causal=st.booleans(),
    with_mask=st.booleans(),
    with_bias=st.booleans(),
    seed=st.integers(0, 10_000),
)
def test_fast_path_equals_weights_path(
    batch: int, heads: int, queries: int, keys: int, causal: bool, with_mask: bool, with_bias: bool, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    keys = queries if causal else keys
    query = torch.randn(batch, heads, queries, 4, generator=generator)
    key = torch.randn(batch, heads, keys, 4, generator=generator)
    value = torch.randn(batch, heads, keys, 6, generator=generator)
    # A third of the entries masked, so that rows with nothing to attend to occur.
    mask = torch.rand(batch, 1, 1, keys, generator=generator) > 0.33 if with_mask else None
    bias = torch.randn(batch, 1, queries, keys, generator=generator) if with_bias else None
    fast, none = attend(query, key, value, mask=mask, bias=bias, causal=causal)
    slow, weights = attend(query, key, value, mask=mask, bias=bias, causal=causal, weights=True)
    assert none is None
    assert weights is not None
    assert torch.allclose(fast, slow, atol=1e-5)
    total = weights.sum(-1)
    assert torch.all((total - 1).abs().lt(1e-5) | total.eq(0))


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("bias", [None, torch.zeros(1, 2, 3)])
def test_a_row_without_anything_to_attend_to_is_zero_with_finite_gradient(weights: bool, bias: torch.Tensor | None) -> None:
    query, key, value = (torch.randn(1, n, 4, requires_grad=True) for n in (2, 3, 3))
    mask = torch.tensor([[[False, False, False], [True, False, True]]])
    output, given_weights = attend(query, key, value, mask=mask, bias=bias, weights=weights)
    assert torch.equal(output[0, 0], torch.zeros(4))
    assert output[0, 1].abs().sum() > 0
    output.sum().backward()
    for tensor in (query, key, value):
        assert tensor.grad is not None
        assert tensor.grad.isfinite().all()
    if given_weights is not None:
        assert torch.equal(given_weights[0, 0], torch.zeros(3))


def test_identical_items_share_the_attention_equally() -> None:
    key = torch.ones(1, 4, 8)
    value = torch.ones(1, 4, 8)
    fast, _ = attend(torch.randn(1, 1, 8), key, value)
    slow, weights = attend(torch.randn(1, 1, 8), key, value, weights=True)
    assert weights is not None
    assert torch.allclose(weights, torch.full((1, 1, 4), 0.25))
    assert torch.allclose(fast, slow, atol=1e-5)


def test_one_item_gets_all_the_attention() -> None:
    value = torch.randn(1, 1, 8)
    output, weights = attend(torch.randn(1, 1, 8), torch.randn(1, 1, 8), value, weights=True)
    assert weights is not None
    assert torch.equal(weights, torch.ones(1, 1, 1))
    assert torch.allclose(output, value)


def test_softmax_along_another_dimension() -> None:
    scores = torch.tensor([[0.0, 5.0], [0.0, 1.0]])
    mask = torch.tensor([[True, False], [True, False]])
    assert torch.equal(masked_softmax(scores, mask, dim=0), torch.tensor([[0.5, 0.0], [0.5, 0.0]]))


def test_multi_head_paths_agree_and_the_heads_must_divide_the_width() -> None:
    torch.manual_seed(0)
    layer = MultiHeadAttention(8, 2, dropout=0.5).eval()
    values = torch.randn(3, 5, 8)
    fast, none = layer(values, values, causal=True)
    slow, weights = layer(values, values, causal=True, weights=True)
    assert none is None
    assert weights.shape == (3, 2, 5, 5)
    assert torch.allclose(fast, slow, atol=1e-5)
    with pytest.raises(ValueError, match="dim 8 is not a multiple of heads 3"):
        MultiHeadAttention(8, 3, dropout=0.0)
