"""Top-k attention in blocks equals the whole: forms every score, masks, softmax. Values, gradients, ties, nothing to see."""

from __future__ import annotations

from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lightning_modules import attention, sparse_attention
from lightning_modules.attention import attend, attention_weights


def both(parts: list[Tensor], **given: object) -> list[tuple[Tensor, tuple[Tensor, ...]]]:
    """Output and gradients of the parts: in blocks, and from all the weights."""
    found = []
    for whole in (False, True):
        leaves = [part.clone().requires_grad_() for part in parts]
        query, key, value = leaves[:3]
        bias = leaves[3] if len(leaves) > 3 else None
        if whole:
            output = attention_weights(query, key, key_bias=bias, **given) @ value  # type: ignore[arg-type]
        else:
            with patch.object(attention, "SPARSE_FROM", 0):
                output, _ = attend(query, key, value, key_bias=bias, **given)  # type: ignore[arg-type]
            assert "_Sparse" in str(output.grad_fn.next_functions) or "_Sparse" in str(output.grad_fn)
        rows = torch.linspace(-1, 1, output.shape[-2])[:, None]  # a different gradient for each query
        found.append((output, torch.autograd.grad((output * rows * value.detach().mean(-2, keepdim=True)).sum(), leaves)))
    return found


@settings(max_examples=120, deadline=None)
@given(
    heads=st.integers(1, 3),
    queries=st.integers(1, 9),
    keys=st.integers(1, 9),
    causal=st.booleans(),
    window=st.none() | st.integers(1, 4),
    top_k=st.integers(1, 5),
    padding=st.sampled_from(["none", "keys", "each", "all"]),
    with_key_bias=st.booleans(),
    kind=st.sampled_from(["random", "identical", "huge"]),
    block=st.sampled_from([1, 12, 40, 2**18]),
    part=st.sampled_from([3, 2**16]),
    seed=st.integers(0, 10_000),
)
def test_blocks_equal_the_whole(
    heads: int,
    queries: int,
    keys: int,
    causal: bool,
    window: int | None,
    top_k: int,
    padding: str,
    with_key_bias: bool,
    kind: str,
    block: int,
    part: int,
    seed: int,
) -> None:
    generator = torch.Generator().manual_seed(seed)
    keys = queries if causal else keys
    query, key = (torch.randn(2, heads, length, 4, generator=generator) for length in (queries, keys))
    value = torch.randn(2, heads, keys, 6, generator=generator)
    if kind == "identical":
        key = key[..., :1, :].expand_as(key)
    if kind == "huge":
        query, key = query * 100, key.round() * 100
    if padding == "none":
        mask = None
    else:
        mask = torch.rand(2, 1, queries if padding == "each" else 1, keys, generator=generator) > 0.5
        mask = mask & (padding != "all")
    parts = [query, key, value]
    if with_key_bias:
        parts.append(19_000 * 0.02 + torch.randn(2, heads, keys, generator=generator))
    with patch.object(sparse_attention, "BLOCK_SCORES", block), patch.object(sparse_attention, "PART", part):
        (fast, fast_gradients), (slow, slow_gradients) = both(
            parts, mask=mask, causal=causal, window=window if causal else None, top_k=top_k
        )
    assert torch.allclose(fast, slow, atol=1e-5)
    for one, other in zip(fast_gradients, slow_gradients, strict=True):
        assert one.isfinite().all()
        assert torch.allclose(one, other, atol=1e-3, rtol=1e-4)


def test_it_keeps_equals_and_nothing_else() -> None:
    query = torch.ones(1, 1, 1)
    key = torch.tensor([[[1.0], [2.0], [1.0], [0.0]]])
    value = torch.eye(4)[None]
    kept = sparse_attention.sparse_attention(query, key, value, 2, 1.0)[0, 0]
    assert (kept > 0).tolist() == [True, True, True, False]
    assert torch.allclose(kept, torch.softmax(torch.tensor([1.0, 2.0, 1.0, -torch.inf]), 0))


def test_its_gradient_is_that_of_its_values() -> None:
    generator = torch.Generator().manual_seed(1)
    parts = [torch.randn(2, 9, 3, generator=generator, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    run = sparse_attention.sparse_attention
    assert torch.autograd.gradcheck(lambda q, k, v: run(q, k, v, 3, 0.7, causal=True), parts)


def test_dropout_drops_weights_forward_and_backward_alike() -> None:
    torch.manual_seed(0)
    value = torch.eye(400)[None].requires_grad_()
    query, key = torch.zeros(1, 1, 4), torch.zeros(1, 400, 4)
    output = sparse_attention.sparse_attention(query, key, value, 3, 1.0, dropout=0.25)
    kept = output[0, 0] > 0
    assert 0.65 < kept.float().mean() < 0.85
    assert torch.allclose(output[0, 0][kept], torch.tensor(1 / 400 / 0.75))
    output.sum().backward()
    assert value.grad is not None
    assert torch.equal(value.grad[0].sum(1) > 0, kept)


def test_bfloat16_comes_back_as_such() -> None:
    parts = [torch.randn(1, 8, 4, dtype=torch.bfloat16, requires_grad=True) for _ in range(3)]
    output = sparse_attention.sparse_attention(*parts, 2, 0.5, causal=True)
    output.sum().backward()
    assert output.dtype == torch.bfloat16
    assert all(part.grad is not None and part.grad.dtype == torch.bfloat16 for part in parts)


@pytest.mark.parametrize(("keys", "sparse"), [(16, True), (15, False)])
def test_only_many_keys_are_worth_it(keys: int, sparse: bool) -> None:
    parts = [torch.randn(1, keys, 4, requires_grad=True) for _ in range(3)]
    output, _ = attend(*parts, causal=True, top_k=2)
    assert ("_Sparse" in f"{output.grad_fn} {output.grad_fn.next_functions}") == sparse  # type: ignore[union-attr]
