"""How much each holding of a customer counts for a candidate: by the model's own weights, or by leaving it out.

Leave-one-out importance asks the model itself: by how many nats does the candidate's log-probability fall when every event
of one holding is erased? It needs no attention, so it explains any ranker that reads holdings; it costs one scoring per
holding and customer, for all candidates together.

Source: Li, Monroe and Jurafsky 2016 (understanding by erasure), https://arxiv.org/abs/1612.08220
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor

from lightning_modules.erasure import log_probabilities, rescored
from lightning_modules.histories import Histories, HistoryBatch
from lightning_modules.interactions import latest_event, latest_of_each, shares
from lightning_modules.ranker import Ranker

Integers = npt.NDArray[np.integer[Any]]
IMPORTANCE_SCHEMA = pa.schema(
    [
        ("customer", pa.int32()),
        ("candidate", pa.int32()),
        ("item", pa.int32()),
        ("day", pa.int32()),
        ("weight", pa.float32()),
    ]
)
MOST_HOLDINGS = 50
"""Leave-one-out looks at so many of a customer's most recently bought holdings; older ones count as not measured."""
ROUNDING = 1e-5
"""A loss of so few nats is float32's rounding, not a reason."""
MOST_CELLS = 2**25
"""Entries of [B, K, L] or [B, L, L] that are held at once: some 100 MB."""


def weights_by_holding(model: Ranker, batch: HistoryBatch, candidates: Tensor) -> Tensor:
    """[B, K, L]: the model's own weights summed over the events of each distinct item, at its last event; -1 elsewhere."""
    with torch.no_grad():
        weights = model.attention(batch, candidates).float()
    return per_holding(batch.items, weights)


def per_holding(items: Tensor, weights: Tensor) -> Tensor:
    """Weights [B, K, L] of events summed per distinct item, at its last event; -1 elsewhere."""
    target = latest_event(items)[:, None, :].expand_as(weights)
    summed = torch.zeros_like(weights).scatter_add(2, target, weights * (items > 0)[:, None, :])
    return summed.masked_fill(~latest_of_each(items)[:, None, :], -1.0)


def measured_holdings(batch: HistoryBatch, most: int = MOST_HOLDINGS) -> Tensor:
    """[B, L] bool: the last events of the ``most`` distinct items that were bought most recently."""
    latest = latest_of_each(batch.items)
    return latest & (latest.flip(1).cumsum(1).flip(1) <= most)


def events_of(batch: HistoryBatch, holdings: Tensor) -> Tensor:
    """Holdings [..., B, L] (True at their last event) -> [..., B, L]: all events of them."""
    return holdings.gather(-1, latest_event(batch.items).expand_as(holdings)) & batch.mask


def leave_one_out(
    model: Ranker, batch: HistoryBatch, candidates: Tensor, whole: Tensor | None = None, most: int = MOST_HOLDINGS
) -> Tensor:
    """[B, K, L] float32: nats that a candidate loses without a holding, at its last event; NaN elsewhere and if not measured.

    ``whole`` [B, K]: log-probabilities with the whole history, where they are known already.
    """
    if whole is None:
        with torch.no_grad():
            whole = log_probabilities(model.score(batch), candidates)
    row, place = torch.nonzero(measured_holdings(batch, most), as_tuple=True)
    erased = batch.items[row] == batch.items[row, place][:, None]
    without = rescored(model, batch, candidates, row, ~erased)  # [P, K]
    drops = whole.new_full((*candidates.shape, batch.items.shape[1]), torch.nan)
    drops[row, :, place] = whole[row] - without
    return drops


def weights_table(
    model: Ranker,
    histories: Histories,
    customers: Integers,
    candidates: Integers,
    max_length: int | None = None,
    *,
    keep: int | None = None,
    batch_size: int = 512,
) -> pa.Table:
    """Which of a customer's holdings each candidate's score attended to.

    Args:
        customers: [n] rows; candidates: [n, K] items 1..N, 0 where a customer has fewer than K.
        max_length: most recent events that the model reads (give what it was trained with).
        keep: only the ``keep`` heaviest holdings per candidate (None: all).

    Returns:
        customer int32, candidate int32, item int32 (a distinct item of the history), day int32 (of its latest event,
        days since 1970-01-01), weight float32 (summed over the item's events; 1 in total per candidate where
        ``keep`` is None). By customer, candidate, weight falling, item. A customer without history has no rows.
    """
    customers = np.asarray(customers, np.int64)
    parts: list[pa.Table] = []
    for chosen in slices(histories, customers, max_length, batch_size):
        batch = histories.batch(customers[chosen], max_length)
        asked = torch.from_numpy(np.asarray(candidates[chosen], np.int64))
        parts.append(_long_table(batch, asked, weights_by_holding(model, batch, asked), keep))
    return pa.concat_tables(parts) if parts else IMPORTANCE_SCHEMA.empty_table()


def leave_one_out_table(
    model: Ranker,
    histories: Histories,
    customers: Integers,
    candidates: Integers,
    max_length: int | None = None,
    *,
    most: int = MOST_HOLDINGS,
    batch_size: int = 128,
) -> pa.Table:
    """As :func:`weights_table`; a weight is a holding's share of the nats lost, over the holdings without which any are lost.

    A candidate that loses nothing without any single holding has weights of 0.
    """
    customers = np.asarray(customers, np.int64)
    parts: list[pa.Table] = []
    for chosen in slices(histories, customers, max_length, batch_size):
        batch = histories.batch(customers[chosen], max_length)
        asked = torch.from_numpy(np.asarray(candidates[chosen], np.int64))
        drops = leave_one_out(model, batch, asked, most=most)
        lost = torch.where(drops > ROUNDING, drops, 0.0)  # NaN is not above it
        weights = shares(lost).masked_fill(drops.isnan(), -1.0)
        parts.append(_long_table(batch, asked, weights, None))
    return pa.concat_tables(parts) if parts else IMPORTANCE_SCHEMA.empty_table()


def slices(histories: Histories, customers: Integers, max_length: int | None, batch_size: int) -> Iterator[slice]:
    """Consecutive slices of at most ``batch_size`` customers, fewer where a long history would make [B, L, L] large."""
    lengths = histories.lengths.numpy()[customers]
    lengths = lengths if max_length is None else np.minimum(lengths, max_length)
    start, longest = 0, 1
    for place, length in enumerate(lengths.tolist()):
        longest = max(longest, length)
        if place > start and (place - start == batch_size or (place + 1 - start) * longest**2 > MOST_CELLS):
            yield slice(start, place)
            start, longest = place, max(length, 1)
    if len(lengths):
        yield slice(start, len(lengths))


def _long_table(batch: HistoryBatch, asked: Tensor, weights: Tensor, keep: int | None) -> pa.Table:
    # Stable sorts: item first, then weight, so that equal weights stand by item.
    by_item = torch.argsort(batch.items, dim=1, stable=True)
    items = torch.gather(batch.items, 1, by_item)
    days = torch.gather(batch.days, 1, by_item)
    weights = torch.gather(weights, 2, by_item[:, None, :].expand_as(weights))
    order = torch.argsort(weights, dim=2, descending=True, stable=True)
    weights = torch.gather(weights, 2, order)[:, :, :keep]
    real = (weights >= 0) & (asked > 0)[:, :, None]
    row, column, place = torch.nonzero(real, as_tuple=True)
    event = order[row, column, place]
    columns = {
        "customer": batch.customers[row],
        "candidate": asked[row, column],
        "item": items[row, event],
        "day": days[row, event],
        "weight": weights[row, column, place],
    }
    return pa.table({f.name: pa.array(columns[f.name].numpy()).cast(f.type) for f in IMPORTANCE_SCHEMA})
