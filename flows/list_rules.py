"""Rules on a customer's list as a whole: of one group at most so many, the better-ranked first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class ListRule:
    """``of_item`` [N]: the group of each candidate, -1 where it has none."""

    rule_id: str
    of_item: Ints
    most: int


def limited_lists(
    worth: NDArray[np.floating[Any]], allowed: Bools, k: int, rules: Sequence[ListRule]
) -> tuple[Ints, list[Bools]]:
    """[n, k] columns of the best allowed candidates that the rules leave, best first, equal worth by column, -1 = empty place;
    and per rule which candidates it passed over [n, N].

    One greedy pass down each row of ``worth`` [n, N]. Only candidates ranked above the last one taken (or all, where the list
    did not fill) can be passed over: those below it were outranked, not removed.
    """
    n, n_items = worth.shape
    lists = np.full((n, k), -1, np.int64)
    passed = [np.zeros((n, n_items), bool) for _ in rules]
    order = np.argsort(-np.where(allowed, worth, -np.inf), axis=1, kind="stable")
    depth = allowed.sum(1)  # the allowed come first in a row of order
    taken = np.zeros(n, np.int64)
    counts = [np.zeros((n, int(rule.of_item.max(initial=-1)) + 1), np.int64) for rule in rules]
    for place in range(int(depth.max(initial=0))):
        rows = np.flatnonzero((taken < k) & (place < depth))
        if not len(rows):
            break
        column = order[rows, place]
        free = np.ones(len(rows), bool)
        for rule, count, over in zip(rules, counts, passed, strict=True):
            group = rule.of_item[column]
            full = (
                (group >= 0) & (count[rows, np.maximum(group, 0)] >= rule.most) if count.shape[1] else np.zeros(len(rows), bool)
            )
            over[rows[full], column[full]] = True
            free &= ~full
        rows, column = rows[free], column[free]
        lists[rows, taken[rows]] = column
        taken[rows] += 1
        for rule, count in zip(rules, counts, strict=True):
            group = rule.of_item[column]
            grouped = group >= 0
            count[rows[grouped], group[grouped]] += 1
    return lists, passed
