"""Linear attention: the carried sums equal the quadratic table, whatever the chunk, the padding and the decay."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_modules.linear_attention import linear_attention


def test_a_literal_example() -> None:
    # phi(0) = 1 and phi(1) = 2 (and a millionth), so the keys count 1 and 2; the bias doubles the first.
    query, key = torch.zeros(1, 1), torch.tensor([[0.0], [1.0]])
    value = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    plain, _ = linear_attention(query, key, value)
    assert torch.allclose(plain, torch.tensor([[1 / 3, 2 / 3]]), atol=1e-5)
    biased, _ = linear_attention(query, key, value, key_bias=torch.tensor([2.0, 1.0]).log())
    assert torch.allclose(biased, torch.tensor([[0.5, 0.5]]), atol=1e-5)


@settings(max_examples=80, deadline=None)
@given(
    length=st.integers(1, 9),
    chunk=st.integers(1, 10),
    causal=st.booleans(),
    padding=st.sampled_from(["none", "some", "all"]),
    steep=st.sampled_from([None, 0.01, 300.0]),
    size=st.sampled_from([1.0, 1e4]),
    seed=st.integers(0, 10_000),
)
def test_carried_sums_equal_the_weights(
    length: int, chunk: int, causal: bool, padding: str, steep: float | None, size: float, seed: int
) -> None:
    """Also where the bias climbs by hundreds from key to key (a naive exponential overflows), and all is padding."""
    generator = torch.Generator().manual_seed(seed)
    query, key, value = (torch.randn(2, 2, length, 3, generator=generator).requires_grad_() for _ in range(3))
    mask = None if padding == "none" else (torch.rand(2, 1, length, generator=generator) > 0.4) & (padding == "some")
    bias = None if steep is None else (steep * torch.arange(length)).expand(2, 2, length).clone().requires_grad_()
    asked = (query * size, key * size, value)
    slow, weights = linear_attention(*asked, mask=mask, key_bias=bias, causal=causal, weights=True)
    fast, none = linear_attention(*asked, mask=mask, key_bias=bias, causal=causal, chunk=chunk)
    assert none is None
    assert weights is not None
    assert torch.allclose(fast, slow, atol=1e-5)
    total = weights.sum(-1)
    assert torch.all((total - 1).abs().lt(1e-5) | total.eq(0))
    if padding == "all":
        assert torch.equal(fast, torch.zeros_like(fast))
    if causal:
        assert (weights.triu(1) == 0).all()
    leaves = [query, key, value, *([] if bias is None else [bias])]
    for gradient in torch.autograd.grad(fast.sum(), leaves):
        assert gradient.isfinite().all()
