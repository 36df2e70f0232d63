"""Purchases as the events that models learn from: numbered, in the order of customer and day, for any number of them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from data_contracts.coded import Positions, halves, order_and_groups, order_by
from lightning_modules.days import days_since_epoch


@dataclass(frozen=True)
class Events:
    """Purchases [E] in the order of customer, day and the accepted table.

    ``counts`` [C]: purchases of each customer; ``item``: places in the sorted identifiers, from 1 on; ``day``: days since
    1970; ``weight``: log(1 + EUR); ``first``: the customer's first purchase of the item.
    """

    counts: npt.NDArray[np.int64]
    item: npt.NDArray[np.int32]
    day: npt.NDArray[np.int32]
    weight: npt.NDArray[np.float32]
    first: npt.NDArray[np.bool_]

    def table(self) -> pa.Table:
        """[E] item (1..N), day, weight, first: what ``lightning_modules.history_files`` writes."""
        first = pa.array(self.first.view(np.uint8))
        return pa.table({"item": pa.array(self.item), "day": pa.array(self.day), "weight": pa.array(self.weight), "first": first})

    @property
    def offsets(self) -> npt.NDArray[np.int64]:
        """[C + 1] where each customer's purchases start, and the end."""
        return np.concatenate([[0], np.cumsum(self.counts)]).astype(np.int64)

    def buyers(self, items: int, cut: date, days: Sequence[int]) -> dict[str, npt.NDArray[np.float64]]:
        """``buyers_N`` [N items]: log(1 + customers who bought the item in the N days up to the cut), for each N."""
        after = {window: days_since_epoch(cut - timedelta(days=window)) for window in days}
        late = np.flatnonzero(self.day > min(after.values(), default=days_since_epoch(cut)))
        customer, item, day = np.searchsorted(self.offsets, late, "right") - 1, self.item[late] - 1, self.day[late]
        order, starts = order_and_groups(customer, item)
        # Of a customer's purchases of an item the last one, since the sort is stable, is the one that says how lately.
        last = order[np.append(starts[1:], len(order)) - 1] if len(order) else order
        item, day = item[last], day[last]
        return {f"buyers_{window}": np.log1p(np.bincount(item[day > after[window]], minlength=items)) for window in days}


def events_of(
    customer: npt.NDArray[np.uint32],
    item: npt.NDArray[np.int32],
    day: npt.NDArray[np.int32],
    weight: npt.NDArray[np.float32],
    customers: int,
) -> Events:
    """The events of purchases [E] in the order of the table, of so many ``customers``; those and items (from 1) are numbered."""
    since = day - day.min(initial=0)
    in_order = np.empty_like(item), np.empty_like(day), np.empty_like(weight)
    first = np.zeros(len(customer), np.bool_)

    def put(rows: Positions, end: int) -> None:
        order = order_by(customer, since, rows=rows)
        to = slice(end - len(rows), end)
        for column, ordered in zip((item, day, weight), in_order, strict=True):
            np.take(column, order, out=ordered[to], mode="clip")
        again, starts = order_and_groups(customer[order], in_order[0][to])  # and by day within a pair: the sort is stable
        first[to][again[starts]] = True

    parts = halves(customer)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(put, parts, np.cumsum([len(rows) for rows in parts]).tolist()))
    return Events(np.bincount(customer, minlength=customers).astype(np.int64), *in_order, first)
