"""The one dial between preference and profit: which ten are listed, and in what order.

Of all allowed assets those are listed that maximise

    (1 - dial) * probability that the customer buys it / log2(1 + place)  +  dial * profit view

where place is the one that preference alone would give the asset, the last place of the list for all beyond it: a hit far
down the list is worth less, so profit is bought first where it costs least. They are listed in the order of that
probability. The dial decides what is on the list, preference decides the order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

K = 10
Floats = npt.NDArray[np.float64]


def chosen_by_dial(
    scores: npt.NDArray[np.floating[Any]], profit: Floats, allowed: npt.NDArray[np.bool_], dial: float, k: int = K
) -> npt.NDArray[np.int64]:
    """[n, k] columns listed at ``dial`` in [0, 1], -1 = empty place; 0 is preference alone, 1 profit alone."""
    wanted = top_lists(scores if dial == 0 else worth(scores, profit, allowed, dial, k), allowed, k)
    # Preference orders what was chosen.
    chosen = np.zeros_like(allowed)
    row, place = np.nonzero(wanted >= 0)
    chosen[row, wanted[row, place]] = True
    return top_lists(scores, chosen, k)


def top_lists(scores: npt.NDArray[np.floating[Any]], allowed: npt.NDArray[np.bool_], k: int = K) -> npt.NDArray[np.int64]:
    """[n, k] columns of the best allowed scores, best first, equal scores by column; -1 where fewer are allowed."""
    order = _by_preference(scores, allowed)[:, :k]
    lists = np.full((len(scores), k), -1, np.int64)
    lists[:, : order.shape[1]] = np.where(np.take_along_axis(allowed, order, 1), order, -1)
    return lists


def worth(
    scores: npt.NDArray[np.floating[Any]], profit: Floats, allowed: npt.NDArray[np.bool_], dial: float, k: int = K
) -> npt.NDArray[np.floating[Any]]:
    """[n, N]: what listing each asset is worth: the probability of a purchase, by its place, and the profit view, weighted."""
    masked = np.where(allowed, scores, -np.inf)
    highest = masked.max(1, keepdims=True)
    shifted = np.exp(masked - np.where(np.isfinite(highest), highest, 0.0))
    chance = shifted / np.maximum(shifted.sum(1, keepdims=True), np.finfo(np.float64).tiny)
    order = _by_preference(scores, allowed)[:, : k - 1]
    discount = np.full(chance.shape, 1 / np.log2(k + 1))
    np.put_along_axis(discount, order, np.broadcast_to(1 / np.log2(np.arange(2, order.shape[1] + 2)), order.shape), 1)
    return np.asarray((1 - dial) * chance * discount + dial * profit)


def _by_preference(scores: npt.NDArray[np.floating[Any]], allowed: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """[n, N] columns, best allowed score first, equal scores by column."""
    return np.argsort(-np.where(allowed, scores, -np.inf), axis=1, kind="stable")
