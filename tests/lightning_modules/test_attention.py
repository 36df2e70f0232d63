"""The two paths of the attention primitive agree, and nothing degenerate gives NaN."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_modules.attention import MultiHeadAttention, attend, attention_weights, largest, masked_softmax, most_recent


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


@settings(max_examples=100, deadline=None)
@given(
    batch=st.integers(1, 3),
    heads=st.integers(1, 3),
    queries=st.integers(1, 6),
    keys=st.integers(1, 6),
    causal=st.booleans(),
    window=st.none() | st.integers(1, 3),
    top_k=st.none() | st.integers(1, 3),
    padding=st.sampled_from(["none", "some", "all"]),
    with_bias=st.booleans(),
    with_key_bias=st.booleans(),
    kind=st.sampled_from(["random", "identical", "huge"]),
    seed=st.integers(0, 10_000),
)
def test_fast_path_equals_weights_path(
    batch: int,
    heads: int,
    queries: int,
    keys: int,
    causal: bool,
    window: int | None,
    top_k: int | None,
    padding: str,
    with_bias: bool,
    with_key_bias: bool,
    kind: str,
    seed: int,
) -> None:
    """Values, and gradients too, on whatever combination; every row of weights sums to 1 or is 0."""
    generator = torch.Generator().manual_seed(seed)
    keys = queries if causal else keys
    query = torch.randn(batch, heads, queries, 4, generator=generator)
    key = torch.randn(batch, heads, keys, 4, generator=generator)
    if kind == "identical":
        key = key[..., :1, :].expand_as(key)
    if kind == "huge":  # one score towers over the others by thousands
        query, key = query * 100, key.round() * 100
    value = torch.randn(batch, heads, keys, 6, generator=generator)
    # Half of the keys masked, so that rows with nothing to attend to occur; or every key.
    mask = None if padding == "none" else (torch.rand(batch, 1, 1, keys, generator=generator) > 0.5) & (padding == "some")
    bias = torch.randn(batch, 1, queries, keys, generator=generator) if with_bias else None
    # Days since 1970 at a rate per day: only differences within a row may count.
    key_bias = 19_000 * 0.02 + torch.randn(batch, heads, keys, generator=generator) if with_key_bias else None
    leaves = [part.clone().requires_grad_() for part in (query, key, value, *([] if key_bias is None else [key_bias]))]
    results = []
    for ask_weights in (False, True):
        output, weights = attend(
            *leaves[:3],
            mask=mask,
            bias=bias,
            key_bias=leaves[3] if with_key_bias else None,
            causal=causal,
            window=window if causal else None,
            top_k=top_k,
            weights=ask_weights,
        )
        assert (weights is not None) == ask_weights
        results.append((output, torch.autograd.grad((output * value.sum(-2, keepdim=True)).sum(), leaves)))
    assert weights is not None
    total = weights.sum(-1)
    assert torch.all((total - 1).abs().lt(1e-5) | total.eq(0))
    (fast, fast_gradients), (slow, slow_gradients) = results
    assert torch.allclose(fast, slow, atol=1e-5)
    for one, other in zip(fast_gradients, slow_gradients, strict=True):
        assert one.isfinite().all()
        assert torch.allclose(one, other, atol=1e-3, rtol=1e-4)


def test_a_term_of_the_keys_keeps_the_fused_kernel_and_gets_its_gradient() -> None:
    query, key, value = (torch.randn(2, 2, 8, 4) for _ in range(3))
    age = torch.arange(8.0).flip(0).expand(2, 1, 8)
    rate = torch.tensor(0.3, requires_grad=True)
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.FLASH_ATTENTION):  # fails where another would run
        fast, _ = attend(query, key, value, key_bias=-rate * age, causal=True)
        (gradient,) = torch.autograd.grad(fast.sum(), rate)
    slow, _ = attend(query, key, value, key_bias=-rate * age, causal=True, weights=True)
    (expected,) = torch.autograd.grad(slow.sum(), rate)
    assert gradient.abs() > 1e-3
    assert torch.allclose(gradient, expected, atol=1e-4)


def test_a_window_sees_the_most_recent_and_top_k_the_largest() -> None:
    query, key = torch.ones(1, 4, 1), torch.tensor([[[4.0], [1.0], [3.0], [2.0]]])
    recent = attention_weights(query, key, causal=True, window=2)
    assert (recent[0] > 0).tolist() == [
        [True, False, False, False],
        [True, True, False, False],
        [False, True, True, False],
        [False, False, True, True],
    ]
    sparse = attention_weights(query, key, causal=True, top_k=2)
    assert (sparse[0] > 0).tolist() == [
        [True, False, False, False],
        [True, True, False, False],
        [True, False, True, False],
        [True, False, True, False],
    ]
    with pytest.raises(ValueError, match="window=0 needs causal attention"):
        attend(query, key, key, causal=True, window=0)
    with pytest.raises(ValueError, match="window=2 needs causal"):
        attend(query, key, key, window=2)


def test_top_k_does_not_choose_between_equals() -> None:
    assert largest(torch.tensor([1.0, 2.0, 1.0, 0.0]), 2, None).tolist() == [True, True, True, False]
    allowed = torch.tensor([False, True, False, False])
    assert largest(torch.tensor([1.0, 2.0, 1.0, 0.0]), 2, allowed).tolist() == [False, True, False, False]


def test_the_most_recent_of_padded_rows() -> None:
    mask = torch.tensor([[True, True, True], [True, False, False], [False, False, False]])
    assert most_recent(mask, 2).tolist() == [[False, True, True], [True, False, False], [False, False, False]]


@settings(max_examples=40, deadline=None)
@given(length=st.integers(2, 7), top_k=st.none() | st.integers(1, 4), seed=st.integers(0, 10_000))
def test_order_does_not_matter_but_what_comes_later_never_shows(length: int, top_k: int | None, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    query, key, value = (torch.randn(1, length, 4, generator=generator) for _ in range(3))
    key_bias = torch.randn(1, length, generator=generator)
    order = torch.randperm(length, generator=generator)
    straight, _ = attend(query, key, value, key_bias=key_bias, top_k=top_k)
    shuffled, _ = attend(query, key[:, order], value[:, order], key_bias=key_bias[:, order], top_k=top_k)
    assert torch.allclose(straight, shuffled, atol=1e-5)
    # Causal: the last key and its value may be anything.
    other = torch.cat([key[:, :-1], key[:, -1:] + 5], 1), torch.cat([value[:, :-1], value[:, -1:] - 5], 1)
    before, _ = attend(query, key, value, key_bias=key_bias, causal=True, top_k=top_k)
    after, _ = attend(query, *other, key_bias=key_bias, causal=True, top_k=top_k)
    assert torch.allclose(before[:, :-1], after[:, :-1], atol=1e-6)


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


@pytest.mark.parametrize("changes", [{"kernel": "linear"}, {"window": 2}, {"top_k": 2}])
def test_every_kind_of_multi_head_attention_is_causal_and_shows_its_weights(changes: dict[str, object]) -> None:
    torch.manual_seed(0)
    layer = MultiHeadAttention(8, 2, 0.5, **changes).eval()  # type: ignore[arg-type]
    values = torch.randn(3, 5, 8)
    key_bias = torch.randn(3, 1, 5)
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2, [True] + [False] * 4])[:, None, None]
    fast, _ = layer(values, values, mask=mask, key_bias=key_bias, causal=True)
    slow, weights = layer(values, values, mask=mask, key_bias=key_bias, causal=True, weights=True)
    assert torch.allclose(fast, slow, atol=1e-5)
    # Every real query sees itself; one on padding may see nothing, if a window hides all real keys.
    real = mask[:, 0].expand(-1, 2, -1)
    assert torch.allclose(weights.sum(-1)[real], torch.ones(()), atol=1e-5)
    assert (weights.triu(1) == 0).all()
    assert (weights[1, :, :, 3:] == 0).all()


def test_what_the_linear_kernel_cannot_do_is_refused() -> None:
    with pytest.raises(ValueError, match="neither window nor top_k"):
        MultiHeadAttention(8, 2, 0.0, kernel="linear", top_k=2)
    layer = MultiHeadAttention(8, 2, 0.0, kernel="linear")
    with pytest.raises(ValueError, match="nothing per query and key"):
        layer(torch.ones(1, 2, 8), torch.ones(1, 2, 8), bias=torch.ones(1, 1, 2, 2))
