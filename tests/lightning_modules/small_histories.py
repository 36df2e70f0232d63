"""Training sets for tests: written from plain lists, and one market with a planted truth."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa

from lightning_modules.histories import Histories
from lightning_modules.history_files import write_histories
from lightning_modules.market_states import MarketStates

CUT = date(2020, 1, 31)
CUT_DAY = (CUT - date(1970, 1, 1)).days
Event = tuple[int, int]  # item, days before the cut


def write(
    directory: Path,
    histories: list[list[Event]],
    n_items: int,
    item_features: np.ndarray | None = None,
    customer_features: np.ndarray | None = None,
    cut: date = CUT,
    *,
    item_feature_names: list[str] | None = None,
    weights: list[float] | None = None,
    market: MarketStates | None = None,
) -> Histories:
    """Customers with the given events, oldest first; weight 1 if not given, ``first`` as it follows from the order."""
    flat = [(item, CUT_DAY - ago) for history in histories for item, ago in history]
    first = [
        item not in [earlier for earlier, _ in history[:place]]
        for history in histories
        for place, (item, _) in enumerate(history)
    ]
    events = pa.table(
        {
            "item": pa.array([item for item, _ in flat], pa.int32()),
            "day": pa.array([day for _, day in flat], pa.int32()),
            "weight": pa.array(weights or [1.0] * len(flat), pa.float32()),
            "first": pa.array(first, pa.bool_()),
        }
    )
    offsets = np.concatenate([[0], np.cumsum([len(history) for history in histories])]).astype(np.int64)
    items = np.zeros((n_items, 2), np.float32) if item_features is None else item_features
    customers = np.zeros((len(histories), 1), np.float32) if customer_features is None else customer_features
    write_histories(
        directory,
        events,
        offsets,
        pa.table({"asset_id": [f"A{item}" for item in range(1, n_items + 1)]}),
        pa.table({"customer_id": [f"C{row}" for row in range(len(histories))]}),
        items,
        item_feature_names or [f"item_feature_{column}" for column in range(items.shape[1])],
        customers,
        [f"customer_feature_{column}" for column in range(customers.shape[1])],
        cut,
        market,
    )
    return Histories.open(directory)


def planted_market(directory: Path, customers: int = 800, seed: int = 5) -> tuple[Histories, np.ndarray]:
    """Forty items in twenty pairs of companions, popularity skewed: who buys one item buys its companion next.

    Every customer owns two or three whole pairs and half of another one; the missing half is what he buys next.

    Returns:
        the training set and [C] the item (1..40) that each customer buys next.
    """
    generator = np.random.default_rng(seed)
    popular = 1.0 / np.arange(1, 21)
    histories: list[list[Event]] = []
    following: list[int] = []
    for _ in range(customers):
        pairs = generator.choice(20, size=int(generator.integers(3, 5)), replace=False, p=popular / popular.sum())
        days = np.sort(generator.integers(1, 300, size=2 * len(pairs) - 1))[::-1]
        bought = [2 * pair + half + 1 for pair in pairs for half in generator.permutation(2)]
        following.append(bought[-1])
        histories.append([(int(item), int(ago)) for item, ago in zip(bought[:-1], days, strict=True)])
    return write(directory, histories, 40), np.array(following)
