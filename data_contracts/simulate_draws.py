"""Random numbers for the simulated market: a pure function of (seed, who, which draw).

A sequential generator would tie customer 17's life to how many customers were drawn before, and to the size of
the chunk that was drawn together. Here every draw is a hash of its address, so a market is the same whatever the
chunk size, and a small market is the beginning of the big one with the same seed.

Source: the mixing function is SplitMix64 (Steele, Lea, Flood 2014, "Fast splittable pseudorandom number
generators").
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_WORD = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_STREAM = 0xD1342543DE82EF95
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def uniforms(seed: int, stream: int, who: Ints) -> Floats:
    """One number in [0, 1) per entry of ``who`` [n], for draw number ``stream``."""
    start = np.uint64(_mixed(seed * _GOLDEN + (stream + 1) * _STREAM))
    word = who.astype(np.uint64)
    word *= np.uint64(_GOLDEN)  # wraps at 2**64, as it should
    word += start
    word ^= word >> np.uint64(30)
    word *= _MIX_1
    word ^= word >> np.uint64(27)
    word *= _MIX_2
    word ^= word >> np.uint64(31)
    # 53 bits fill a double exactly, so 1.0 itself cannot occur.
    numbers: Floats = (word >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return numbers


def normals(seed: int, stream: int, who: Ints) -> Floats:
    """One standard normal number per entry of ``who`` [n], by Box-Muller from draws ``stream`` and the next."""
    radius = np.sqrt(-2.0 * np.log1p(-uniforms(seed, stream, who)))
    angle = 2.0 * np.pi * uniforms(seed, stream + 1, who)
    numbers: Floats = radius * np.cos(angle)
    return numbers


class ChoiceTable:
    """Draws a column per row of a weight table, for many rows at once.

    ``weights`` [R, N], not negative, each row with a positive sum. The rows' running sums are laid end to end,
    row r between r and r + 1, so that one binary search serves a mixed batch of rows.
    """

    def __init__(self, weights: Floats) -> None:
        running = np.cumsum(weights, axis=1)
        if not (running[:, -1] > 0).all():
            raise ValueError("every row of a choice table needs a positive sum")
        rows, self._columns = weights.shape
        # Divided by its own last entry, a row's sum is exactly 1 from its last possible column on.
        share = running / running[:, -1:]
        self._ladder: Floats = (share + np.arange(rows, dtype=np.float64)[:, None]).ravel()
        self._last: Ints = self._columns - 1 - np.argmax(weights[:, ::-1] > 0, axis=1).astype(np.int64)

    def draw(self, rows: Ints, uniform: Floats) -> Ints:
        """Column [n] for each of ``rows`` [n], by ``uniform`` [n] in [0, 1)."""
        place = np.searchsorted(self._ladder, rows + uniform, side="right")
        # Adding the row number rounds the uniform; one that rounds up to the next row takes its last column.
        column: Ints = np.minimum(place - rows * self._columns, self._last[rows])
        return column


def _mixed(word: int) -> int:
    word &= _WORD
    word = ((word ^ (word >> 30)) * int(_MIX_1)) & _WORD
    word = ((word ^ (word >> 27)) * int(_MIX_2)) & _WORD
    return word ^ (word >> 31)
