"""Co-visits by hand, and item vectors that start where the data put them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lightning_modules import covisits as counting
from lightning_modules.covisits import CoVisits, covisit_vectors, covisits
from tests.lightning_modules.small_histories import planted_market, write


def dense(counted: CoVisits) -> torch.Tensor:
    size = len(counted.starts) - 1
    matrix = torch.zeros(size, size)
    matrix[counted.rows(), counted.columns.long()] = counted.values
    return matrix


@pytest.mark.parametrize("band", [1, 3, 2**13])
def test_counts_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, band: int) -> None:
    monkeypatch.setattr(counting, "BAND_EVENTS", band)
    histories = write(tmp_path, [[(1, 9), (2, 8), (3, 7)], [(3, 5)], [(1, 5), (2, 4), (1, 3)], []], 4)
    expected = torch.zeros(4, 4)
    expected[0, 1] = 3  # by the first customer once, by the third before and after; an item is not its own company
    expected[1, 2] = 1
    expected[0, 2] = 0.8  # one event in between
    assert torch.equal(dense(covisits(histories)), expected + expected.T)
    nearest = dense(covisits(histories, steps=1))
    assert nearest[0, 2] == 0
    assert nearest[0, 1] == 3


def test_the_product_is_that_of_the_matrix(tmp_path: Path) -> None:
    histories, _ = planted_market(tmp_path)
    counted = covisits(histories)
    vectors = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(counted.times(vectors), dense(counted) @ vectors, atol=1e-4)


def test_companions_start_as_nearest_neighbours(tmp_path: Path) -> None:
    histories, _ = planted_market(tmp_path)
    vectors = covisit_vectors(histories, 24)
    assert torch.allclose(vectors.norm(dim=1), torch.ones(40), atol=1e-5)
    likeness = (vectors @ vectors.T).fill_diagonal_(-1)
    companion = torch.arange(40) ^ 1
    # Ten pairs of companions out of twenty are bought often enough to be seen whole.
    popular = torch.arange(20)
    assert torch.equal(likeness[popular].argmax(1), companion[popular])


def test_they_equal_the_exact_spectrum(tmp_path: Path) -> None:
    histories, _ = planted_market(tmp_path)
    both = dense(covisits(histories))
    shrink = (both.sum(1) + 1).rsqrt()
    matrix = shrink[:, None] * both * shrink + 0.3 * torch.eye(40)
    vectors = covisit_vectors(histories, 40)
    values, basis = torch.linalg.eigh(matrix)
    exact = torch.nn.functional.normalize(basis * values.abs().sqrt(), dim=1)
    assert torch.allclose(vectors @ vectors.T, exact @ exact.T, atol=1e-4)


def test_an_item_without_company_gets_a_direction_and_narrow_catalogues_are_padded(tmp_path: Path) -> None:
    histories = write(tmp_path, [[(1, 3), (2, 2)], [(3, 1)]], 3)
    vectors = covisit_vectors(histories, 6)
    assert vectors.shape == (3, 6)
    assert vectors.norm(dim=1).tolist() == pytest.approx([1, 1, 1], abs=1e-5)
    assert (vectors[:, 3:] == 0).all()
    assert torch.equal(vectors, covisit_vectors(histories, 6))
    assert not torch.equal(vectors[2], covisit_vectors(histories, 6, seed=1)[2])


def test_no_event_at_all(tmp_path: Path) -> None:
    histories = write(tmp_path, [[], []], 3)
    assert dense(covisits(histories)).tolist() == [[0.0] * 3] * 3
    assert covisit_vectors(histories, 2).isfinite().all()
