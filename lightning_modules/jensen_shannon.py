"""Jensen-Shannon divergence in bits: 0 for equal distributions, 1 for distributions with nothing in common.

    JSD(p, q) = sum over s of f(p_s) / 2 + f(q_s) / 2 - f((p_s + q_s) / 2),  f(x) = x log2 x

Where only one of the two is above 0 a term is half of it, so the sum is 1 plus, over what both have in common,
f(p) / 2 + f(q) / 2 - f((p + q) / 2) - p / 2 - q / 2: all pairs of sparse distributions cost what they share and no more.

Source: Lin 1991, Divergence measures based on the Shannon entropy, https://doi.org/10.1109/18.61115
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import sparse

Floats = npt.NDArray[np.float64]
TINY = np.finfo(np.float64).tiny


def bits(values: Floats) -> Floats:
    """x log2 x, 0 at 0."""
    return values * np.log2(np.maximum(values, TINY))


def in_common(p: Floats, q: Floats, told_p: Floats | None = None, told_q: Floats | None = None) -> Floats:
    """What a point where p and q are above 0 adds to 1, at most 0; 0 where one of them is 0.

    ``told_p``, ``told_q``: :func:`bits` of p and q where they are known already.
    """
    told_p, told_q = bits(p) if told_p is None else told_p, bits(q) if told_q is None else told_q
    mean = (p + q) / 2
    # Where one is 0, half of the other less one bit of it and the other's half cancel: no case apart is needed.
    return told_p / 2 + told_q / 2 - bits(mean) - mean


def jensen_shannon(p: Floats, q: Floats) -> Floats:
    """Divergence in [0, 1] of the rows of p and q, [..., S]; each sums to 1.

    Raises:
        ValueError: a row does not sum to 1, or holds a negative number.
    """
    for rows in (p, q):
        if rows.size and (rows.min() < 0 or not np.allclose(rows.sum(-1), 1)):
            raise ValueError("a distribution is not negative anywhere and sums to 1")
    return np.clip(1 + in_common(p, q).sum(-1), 0, 1)


def divergences(rows: sparse.csr_array) -> Floats:
    """[n, n], the divergence of every pair of the distributions ``rows`` [n, S]."""
    total = np.ones((rows.shape[0], rows.shape[0]))
    columns = rows.tocsc()
    for start, end in zip(columns.indptr[:-1], columns.indptr[1:], strict=True):
        here, share = columns.indices[start:end], columns.data[start:end]
        told = bits(share)
        total[np.ix_(here, here)] += in_common(share[:, None], share, told[:, None], told)
    return np.clip(total, 0, 1)
