"""The k best columns are those of a stable sort, whatever ties there are."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_modules import topk
from lightning_modules.topk import top_items, top_k


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.integers(1, 12), st.integers(0, 14), st.integers(1, 4), st.integers(0, 10_000))
def test_it_is_the_head_of_a_stable_sort(rows: int, columns: int, k: int, levels: int, seed: int) -> None:
    scores = torch.randint(0, levels, (rows, columns), generator=torch.Generator().manual_seed(seed)).float()
    values, order = top_k(scores, k)
    expected = torch.sort(scores, dim=1, descending=True, stable=True)
    assert order.tolist() == expected.indices[:, :k].tolist()
    assert values.tolist() == expected.values[:, :k].tolist()


def test_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="1 row"):
        top_k(torch.tensor([[1.0, float("nan"), 0.0], [1.0, 2.0, 3.0]]), 1)


def test_many_customers_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topk, "BLOCK_BYTES", 4 * 30 * 3)  # three customers a block
    generator = torch.Generator().manual_seed(0)
    vectors, table = torch.randn(8, 4, generator=generator), torch.randn(30, 4, generator=generator)
    bias = torch.randn(30, generator=generator)
    lengths = torch.tensor([0, 3, 30, 1, 0, 26, 2, 5])
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    columns = torch.cat([torch.randperm(30, generator=generator)[:length] for length in lengths.tolist()])
    whole = vectors @ table.T + bias
    for row in range(8):
        whole[row, columns[offsets[row] : offsets[row + 1]]] = -torch.inf
    blocks = list(top_items(vectors, table, 5, bias=bias, excluded=(offsets, columns)))
    assert [block for block, _, _ in blocks] == [slice(0, 3), slice(3, 6), slice(6, 8)]
    values = torch.cat([scores for _, scores, _ in blocks])
    chosen = torch.cat([one for _, _, one in blocks])
    expected = torch.sort(whole, dim=1, descending=True, stable=True)
    assert torch.allclose(values, expected.values[:, :5], atol=1e-6)
    real = values > -torch.inf
    assert torch.equal(chosen[real], expected.indices[:, :5][real])
    assert real.sum(1).tolist() == [5, 5, 0, 5, 5, 4, 5, 5]
