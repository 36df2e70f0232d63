"""Shuffled and even weights: the right ones, everywhere that weights are formed, and only inside the context."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lightning_modules.attention import attend
from lightning_modules.changed_weights import Shuffled, Uniform, changed_weights
from lightning_modules.family import FAMILY, build_ranker
from lightning_modules.settings import ModelKind, ModelSpec
from tests.lightning_modules.small_histories import write

OVER = {
    "attention_cf": {"holdings"},
    "sequential_attention": {"holdings"},
    "portfolio_attention": {"holdings"},
    "transformer": {"holdings"},
    "signal_attention": {"signals"},
}


@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(1, 7), st.sampled_from([-1, -2]))
def test_a_shuffle_deals_the_same_weights_among_the_allowed_keys(seed: int, rows: int, keys: int, dim: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(rows, keys, generator=generator) < 0.7
    weights = torch.rand(rows, keys, generator=generator) * mask
    if dim == -2:
        weights, mask = weights.T, mask.T
    dealt = Shuffled(seed)(weights, mask, dim)
    assert bool((dealt[~mask] == 0).all())
    assert torch.equal(dealt.sort(dim).values, weights.sort(dim).values)


def test_rows_that_share_a_mask_share_a_shuffle() -> None:
    weights = torch.rand(2, 3, 4, 5)  # [B, H, Q, K]
    mask = torch.ones(2, 1, 1, 5, dtype=torch.bool)
    dealt = Shuffled(3)(weights, mask, -1)
    order = [[int((weights[b, 0, 0] == value).nonzero()) for value in dealt[b, 0, 0]] for b in range(2)]
    for b in range(2):
        assert torch.equal(dealt[b], weights[b][..., order[b]])
    assert len({tuple(row) for row in order}) == 2


def test_even_weights_by_hand_and_the_fused_path_gives_way() -> None:
    query, key = torch.randn(1, 1, 3), torch.randn(1, 4, 3)
    value = torch.tensor([[[1.0], [2.0], [3.0], [100.0]]])
    mask = torch.tensor([[[True, True, True, False]]])
    before, _ = attend(query, key, value, mask=mask)
    with changed_weights(Uniform()):
        even, none = attend(query, key, value, mask=mask)
    assert even.item() == pytest.approx(2.0)
    assert none is None
    assert torch.equal(attend(query, key, value, mask=mask)[0], before)


@pytest.mark.parametrize("kernel", ["softmax", "linear"])
@pytest.mark.parametrize("kind", list(FAMILY))
def test_every_model_that_attends_is_reached_and_no_other(kind: ModelKind, kernel: str, tmp_path: Path) -> None:
    rows = [[(1 + (3 * c + step * step) % 6, 40 - step) for step in range(5)] for c in range(12)]
    histories = write(tmp_path, rows, 8)
    torch.manual_seed(0)
    model = build_ranker(ModelSpec(kind=kind, dim=8, max_length=10, kernel=kernel), histories)  # type: ignore[arg-type]
    model.prepare(histories, None)
    model.eval()  # type: ignore[attr-defined]
    for parameter in model.parameters():  # type: ignore[attr-defined]
        torch.nn.init.normal_(parameter, std=0.5)
    batch = histories.batch(np.arange(12))
    with torch.no_grad():
        plain = model.score(batch)
        for change in (Shuffled(1), Uniform()):
            with changed_weights(change):
                other = model.score(batch)
            assert change.over == OVER.get(kind, set())
            assert torch.allclose(plain, other, atol=1e-6) == (kind not in OVER)
        assert torch.equal(model.score(batch), plain)
