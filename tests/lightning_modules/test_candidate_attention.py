"""Candidates as queries: tables, fused kernel, cut tables, weights and each customer's own candidates all agree."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_modules import candidate_attention as module
from lightning_modules.candidate_attention import candidate_attention, candidate_weights


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 4),
    length=st.integers(1, 5),
    items=st.integers(1, 6),
    heads=st.integers(1, 3),
    top_k=st.none() | st.integers(1, 3),
    padding=st.sampled_from(["some", "all"]),
    seed=st.integers(0, 10_000),
)
def test_every_path_gives_the_same_terms(
    rows: int, length: int, items: int, heads: int, top_k: int | None, padding: str, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    queries, outputs = (torch.randn(items, heads, 4, generator=generator) for _ in range(2))
    keys, values = (torch.randn(rows, length, heads, 4, generator=generator) for _ in range(2))
    key_bias = torch.randn(rows, heads, length, generator=generator).requires_grad_()
    mask = (torch.rand(rows, length, generator=generator) > 0.4) & (padding == "some")
    arguments = (keys, values, key_bias, mask)
    # By the textbook, from the weights.
    weights = candidate_weights(queries, keys, key_bias, mask, top_k=top_k)
    expected = torch.einsum("bhnl,blhd,nhd->bhn", weights, values * mask[..., None, None], outputs)
    tables = candidate_attention(queries, outputs, *arguments, top_k=top_k)
    assert torch.allclose(tables, expected, atol=1e-5)
    own = [part.expand(rows, *part.shape) for part in (queries, outputs)]
    assert torch.allclose(candidate_attention(*own, *arguments, top_k=top_k), expected, atol=1e-5)
    assert torch.allclose(candidate_weights(own[0], keys, key_bias, mask, top_k=top_k), weights, atol=1e-6)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CACHED", 1)  # everything is large
        patch.setattr(module, "KEPT", 1)
        fused = candidate_attention(queries, outputs, *arguments, top_k=top_k)
        with torch.no_grad():
            cut = candidate_attention(queries, outputs, *arguments, top_k=top_k)
            cut_own = candidate_attention(*own, *arguments, top_k=top_k)
    for other in (fused, cut, cut_own):
        assert torch.allclose(other, expected, atol=1e-5)
    (straight,) = torch.autograd.grad(tables.sum(), key_bias)
    (through_kernel,) = torch.autograd.grad(fused.sum(), key_bias)
    assert straight.isfinite().all()
    assert torch.allclose(straight, through_kernel, atol=1e-4)
