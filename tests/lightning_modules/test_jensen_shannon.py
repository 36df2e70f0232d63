"""The divergence of known distributions, and what holds for all of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import sparse
from scipy.spatial.distance import jensenshannon

from lightning_modules.jensen_shannon import divergences, jensen_shannon


def test_known_divergences() -> None:
    p = np.array([[1.0, 0.0], [0.5, 0.5], [1.0, 0.0], [0.75, 0.25]])
    q = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0], [0.25, 0.75]])
    # The last: entropy of the mean is 1 bit, of each 2 - 0.75 log2 3.
    assert jensen_shannon(p, q) == pytest.approx([0, 0, 1, 1 - (2 - 0.75 * np.log2(3))])
    half = jensen_shannon(np.array([1.0, 0.0]), np.array([0.5, 0.5]))
    assert half == pytest.approx(1.5 - 0.75 * np.log2(3))


def test_what_is_no_distribution_is_refused() -> None:
    fine = np.array([[0.5, 0.5]])
    for rows in (np.array([[0.5, 0.4]]), np.array([[1.5, -0.5]])):
        with pytest.raises(ValueError, match="sums to 1"):
            jensen_shannon(fine, rows)


@st.composite
def distributions(draw: st.DrawFn) -> np.ndarray:
    """A few rows over a few points, many of them 0."""
    shape = draw(st.tuples(st.integers(2, 5), st.integers(1, 6)))
    counts = draw(arrays(np.int64, shape, elements=st.integers(0, 3)))
    counts[:, 0] += counts.sum(1) == 0
    return counts / counts.sum(1, keepdims=True)


@given(distributions())
def test_every_pair_is_symmetric_bounded_zero_with_itself_and_as_scipy_has_it(rows: np.ndarray) -> None:
    table = divergences(sparse.csr_array(rows))
    n = len(rows)
    assert table.min() >= 0
    assert table.max() <= 1
    assert table == pytest.approx(table.T)
    assert np.diag(table) == pytest.approx(np.zeros(n), abs=1e-12)
    by_row = np.array([jensen_shannon(np.broadcast_to(row, rows.shape), rows) for row in rows])
    assert table == pytest.approx(by_row, abs=1e-12)
    one, other = np.repeat(rows, n, 0), np.tile(rows, (n, 1))
    reference = np.nan_to_num(jensenshannon(one, other, base=2, axis=1)) ** 2  # of equal rows it may take the root of -1e-17
    assert table.ravel() == pytest.approx(reference, abs=1e-7)
