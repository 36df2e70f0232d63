"""Text columns as numbers, and sorting by them: a hundred million trades are sorted in seconds once they are numbers.

A table's identifiers are numbered in the order of their text, so an order by number is an order by text. The sort is one
of 64-bit keys that hold both numbers and the row's position, which makes it stable and leaves nothing to gather but the
values: numpy sorts such keys with vector instructions, ten million in a tenth of a second.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl

Ints = npt.NDArray[np.integer]
Positions = npt.NDArray[np.int64]

T = TypeVar("T", bound=np.generic)

AT_ONCE: Final = 1 << 20  # places looked up together
WORTH_TWO: Final = 1 << 16  # rows from which on a second thread is worth its start


def sorted_texts(*columns: pl.LazyFrame) -> pl.Series:
    """The distinct values of one-column tables, in order. Nulls are left out."""
    found = [column.unique().collect(engine="streaming").to_series() for column in columns]
    return pl.concat(found).drop_nulls().unique().sort()


def order_by(*keys: Ints, rows: Positions | None = None) -> Positions:
    """[m] positions in the order of the keys, each [n] and not negative: by the first, then the next, then by position.

    ``rows`` [m]: the positions to order, ascending; None: all.
    """
    return order_and_groups(*keys, rows=rows)[0]


def order_and_groups(*keys: Ints, rows: Positions | None = None) -> tuple[Positions, Positions]:
    """``order_by``, and where in that order each group of rows with equal keys starts."""
    if rows is not None:
        among, groups = order_and_groups(*(key[rows] for key in keys))
        return rows[among], groups
    n = len(keys[0])
    if n == 0:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    position_bits = max(n - 1, 1).bit_length()
    order: npt.NDArray[np.int64] | None = None
    left = list(keys)
    while left:
        # As many of the last keys as fit into 64 bits with the position; the sort is stable, so the rest come after.
        taken = [left.pop()]
        bits = [_bits(taken[0])]
        if bits[0] + position_bits > 64:
            order = np.lexsort(keys[::-1])
            return order, group_starts(*(key[order] for key in keys))
        while left and sum(bits) + _bits(left[-1]) + position_bits <= 64:
            taken.append(left.pop())
            bits.append(_bits(taken[-1]))
        packed = (taken[-1] if order is None else taken[-1][order]).astype(np.uint64)
        for key, width in zip(taken[-2::-1], bits[-2::-1], strict=True):
            packed <<= np.uint64(width)
            _put(packed, key if order is None else key[order])
        packed <<= np.uint64(position_bits)
        _put(packed, np.arange(n, dtype=np.uint64))
        packed.sort()
        # In one pass the sorted numbers show the groups: nothing has to be gathered for them.
        starts = group_starts(packed >> np.uint64(position_bits)) if len(taken) == len(keys) else None
        packed &= np.uint64((1 << position_bits) - 1)
        then = packed.view(np.int64)
        if starts is not None:
            return then, starts
        order = then if order is None else order[then]
    assert order is not None, "there is a key"
    return order, group_starts(*(key[order] for key in keys))


def halves(key: Ints) -> list[Positions]:
    """Positions, ascending, of the rows with the lower and with the higher half of a key [n], for a thread each.

    All rows in one piece where there are too few to be worth it.
    """
    if len(key) < WORTH_TWO:
        return [np.arange(len(key))]
    lower = key <= np.median(key[:: len(key) // WORTH_TWO])
    return [np.flatnonzero(lower), np.flatnonzero(~lower)]


def gather(order: Ints, *columns: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    """The columns [n] in the order, side by side: it is memory that is waited for, not arithmetic."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda column: column[order], columns))


def stretches(rows: int, size: int) -> Iterator[slice]:
    """So many rows, ``size`` of them at a time."""
    return (slice(first, first + size) for first in range(0, rows, size))


def look_up(table: npt.NDArray[T], places: Ints, out: npt.NDArray[T] | None = None) -> npt.NDArray[T]:
    """[n] what the ``table`` says at each of the ``places`` [n], integers of any width; beyond its end, what the last place says.

    Piece by piece: numpy makes 64-bit indices of all that it is given at once.
    """
    found = np.empty(len(places), table.dtype) if out is None else out
    for some in stretches(len(places), AT_ONCE):
        np.take(table, places[some], mode="clip", out=found[some])
    return found


def spliced(column: npt.NDArray[Any], starts: Ints, ends: Ints, anew: npt.NDArray[Any], bounds: Ints) -> npt.NDArray[Any]:
    """``column`` [n] with each stretch from ``starts`` to ``ends`` [m] replaced by ``anew`` from ``bounds`` [m + 1] to the next.

    In long copies, of the type of ``anew``: what lies between the stretches is not looked at.
    """
    pieces, at = [], 0
    for start, end, first, behind in zip(starts.tolist(), ends.tolist(), bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        pieces += [column[at:start], anew[first:behind]]
        at = end
    return np.concatenate([*pieces, column[at:]], dtype=anew.dtype, casting="unsafe")


def _put(packed: npt.NDArray[np.uint64], bits: Ints) -> None:
    np.bitwise_or(packed, bits, out=packed, dtype=np.uint64, casting="unsafe")


def _bits(key: Ints) -> int:
    return max(int(key.max()), 1).bit_length()


def group_starts(*ordered: Ints) -> npt.NDArray[np.int64]:
    """Where each group of equal neighbours starts, of columns [n] that are ordered together."""
    n = len(ordered[0])
    if n == 0:
        return np.empty(0, np.int64)
    differs = np.zeros(n, np.bool_)
    differs[0] = True
    for values in ordered:
        differs[1:] |= values[1:] != values[:-1]
    return np.flatnonzero(differs)
