"""Co-visits by hand, and item vectors that start where the data put them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lightning_modules.covisits import covisit_vectors, covisits
from tests.lightning_modules.small_histories import planted_market, write


def test_counts_by_hand(tmp_path: Path) -> None:
    histories = write(tmp_path, [[(1, 9), (2, 8), (3, 7)], [(3, 5)], [(1, 5), (2, 4), (1, 3)], []], 4)
    expected = torch.zeros(4, 4)
    expected[0, 1] = 2  # 1 -> 2 by the first and the third customer
    expected[1, 2] = 1
    expected[0, 2] = 0.8  # one event in between
    expected[1, 0] = 1  # and an item after itself does not count
    assert torch.equal(covisits(histories).to_dense(), expected)
    nearest = covisits(histories, steps=1).to_dense()
    assert nearest[0, 2] == 0
    assert nearest[0, 1] == 2


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
    counted = covisits(histories).to_dense()
    both = counted + counted.T
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
    assert covisits(write(tmp_path, [[], []], 3)).to_dense().tolist() == [[0.0] * 3] * 3
