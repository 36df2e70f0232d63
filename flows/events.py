"""Purchases as the events that models learn from: numbered, in the order of customer and day, for any number of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from data_contracts.coded import gather, order_and_groups, order_by
from lightning_modules.histories import days_since_epoch


@dataclass(frozen=True)
class Events:
    """Purchases [E] in the order of customer, day and the accepted table.

    ``customer`` and ``item``: places in the sorted identifiers; ``day``: days since 1970; ``weight``: log(1 + EUR);
    ``first``: the customer's first purchase of the item.
    """

    customer: npt.NDArray[np.uint32]
    item: npt.NDArray[np.uint32]
    day: npt.NDArray[np.int32]
    weight: npt.NDArray[np.float32]
    first: npt.NDArray[np.bool_]

    def table(self) -> pa.Table:
        """[E] item (1..N), day, weight, first: what ``lightning_modules.histories`` writes."""
        return pa.table(
            {
                "item": pa.array(self.item.astype(np.int32) + 1),
                "day": pa.array(self.day),
                "weight": pa.array(self.weight),
                "first": pa.array(self.first.view(np.uint8)),
            }
        )

    def counts(self, customers: int) -> npt.NDArray[np.int64]:
        """[C] purchases of each customer."""
        return np.bincount(self.customer, minlength=customers).astype(np.int64)

    def buyers(self, items: int, cut: date, days: Sequence[int]) -> dict[str, npt.NDArray[np.float64]]:
        """``buyers_N`` [N items]: log(1 + customers who bought the item in the N days up to the cut), for each N."""
        return {f"buyers_{window}": np.log1p(self._buyers(items, cut - timedelta(days=window))) for window in days}

    def _buyers(self, items: int, after: date) -> npt.NDArray[np.int64]:
        """[N items] how many customers bought each after that day."""
        late = np.flatnonzero(self.day > days_since_epoch(after))
        customer, item = self.customer[late], self.item[late]
        order, starts = order_and_groups(customer, item)
        return np.bincount(item[order[starts]], minlength=items)


def events_of(
    customer: npt.NDArray[np.uint32],
    item: npt.NDArray[np.uint32],
    day: npt.NDArray[np.int32],
    weight: npt.NDArray[np.float32],
) -> Events:
    """The events of purchases [E] in the order of the table; customers and items numbered in the order of their texts."""
    order = order_by(customer, day - day.min(initial=0))
    customer, item, day, weight = gather(order, customer, item, day, weight)
    order, starts = order_and_groups(customer, item)  # and by day within a pair, since the sort is stable
    first = np.zeros(len(customer), np.bool_)
    first[order[starts]] = True
    return Events(customer, item, day, weight, first)
