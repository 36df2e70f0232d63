"""Attention as a table of holdings, and the test of whether it deserves to be shown.

A weight says where a model looked. It becomes an explanation only if taking away what it points at moves the score
more than taking away anything else: ``faithfulness`` measures that by erasing and scoring again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor

from lightning_modules.histories import Histories, HistoryBatch
from lightning_modules.ranker import Ranker

Integers = npt.NDArray[np.integer[Any]]
ATTENTION_SCHEMA = pa.schema(
    [
        ("customer", pa.int32()),
        ("candidate", pa.int32()),
        ("item", pa.int32()),
        ("day", pa.int32()),
        ("weight", pa.float32()),
    ]
)
BOOTSTRAP_DRAWS = 2000
MOST_PAIRS = 2**25
"""Pairs of events compared at once: a few hundred MB."""


def attention_table(
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
    for chosen in _slices(histories, customers, max_length, batch_size):
        batch = histories.batch(customers[chosen], max_length)
        asked = torch.from_numpy(np.asarray(candidates[chosen], np.int64))
        with torch.no_grad():
            weights = model.attention(batch, asked).float()  # [B, K, L]
        parts.append(_long_table(batch, asked, _per_item(batch.items, weights), keep))
    return pa.concat_tables(parts) if parts else ATTENTION_SCHEMA.empty_table()


def faithfulness(
    model: Ranker,
    histories: Histories,
    customers: Integers,
    candidates: Integers,
    seed: int,
    *,
    max_length: int | None = None,
    batch_size: int = 256,
) -> dict[str, Any]:
    """How much more a candidate loses when the most attended holding is erased than when another one is.

    For each (customer, candidate) with two distinct holdings or more: the candidate's log-probability (log softmax of
    the scores over the catalogue, since scores are defined up to a constant per customer) with the whole history,
    without every event of the most attended item, and without every event of one other item drawn at random.

    Args:
        customers: [n] rows; candidates: [n, K] items 1..N, 0 = none. A customer's candidates are one cluster.

    Returns:
        n_pairs, n_customers, mean_drop_attended, mean_drop_random (in nats), mean_difference, ci_low, ci_high
        (95 % bootstrap over customers), share_attended_larger, better_than_random (ci_low > 0).
    """
    generator = np.random.default_rng(seed)
    customers = np.asarray(customers, np.int64)
    attended: list[Tensor] = []
    random: list[Tensor] = []
    cluster: list[Tensor] = []
    for chosen in _slices(histories, customers, max_length, batch_size):
        batch = histories.batch(customers[chosen], max_length)
        asked = torch.from_numpy(np.asarray(candidates[chosen], np.int64))
        with torch.no_grad():
            drops = _drops(model, batch, asked, generator)
        if drops is not None:
            attended.append(drops[0])
            random.append(drops[1])
            cluster.append(drops[2])
    if not attended:
        return erasure_verdict(np.zeros(0), np.zeros(0), np.zeros(0, np.int64), generator)
    return erasure_verdict(
        torch.cat(attended).double().numpy(),
        torch.cat(random).double().numpy(),
        torch.cat(cluster).numpy(),
        generator,
    )


def erase(batch: HistoryBatch, items: Tensor) -> HistoryBatch:
    """The batch without any event of ``items`` [B], closed up so that padding is on the right again."""
    kept = batch.mask & (batch.items != items[:, None])  # [B, L]
    order = torch.argsort((~kept).to(torch.uint8), dim=1, stable=True)
    kept = torch.gather(kept, 1, order)

    def close_up(values: Tensor) -> Tensor:
        return torch.gather(values, 1, order) * kept

    return HistoryBatch(
        customers=batch.customers,
        items=close_up(batch.items),
        days=close_up(batch.days),
        weights=close_up(batch.weights),
        lengths=kept.sum(1),
        features=batch.features,
        now=batch.now,
    )


def _slices(histories: Histories, customers: Integers, max_length: int | None, batch_size: int) -> Iterator[slice]:
    """Consecutive slices of at most ``batch_size`` customers, fewer where a long history would make [B, L, L] large."""
    lengths = histories.lengths.numpy()[customers]
    lengths = lengths if max_length is None else np.minimum(lengths, max_length)
    start, longest = 0, 1
    for place, length in enumerate(lengths.tolist()):
        longest = max(longest, length)
        if place > start and (place - start == batch_size or (place + 1 - start) * longest**2 > MOST_PAIRS):
            yield slice(start, place)
            start, longest = place, max(length, 1)
    if len(lengths):
        yield slice(start, len(lengths))


def _per_item(items: Tensor, weights: Tensor) -> Tensor:
    """Weights [B, K, L] summed per distinct item, standing at the item's latest event; -1 elsewhere."""
    same = (items[:, :, None] == items[:, None, :]) & (items > 0)[:, None, :]  # [B, L, L]
    summed = weights @ same.to(weights.dtype)
    later = torch.ones(items.shape[1], items.shape[1], dtype=torch.bool, device=items.device).tril(-1)
    latest = (items > 0) & ~(same & later).any(1)  # no later event of the same item
    return summed.masked_fill(~latest[:, None, :], -1.0)


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
    return pa.table({f.name: pa.array(columns[f.name].numpy()).cast(f.type) for f in ATTENTION_SCHEMA})


def _drops(
    model: Ranker, batch: HistoryBatch, asked: Tensor, generator: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor] | None:
    """Drops in log-probability for the attended and the random item, and the customer, per pair; None if no pair."""
    weights = _per_item(batch.items, model.attention(batch, asked))  # [B, K, L]
    distinct = (weights[:, 0] >= 0).sum(1)  # [B]
    row, column = torch.nonzero((asked > 0) & (distinct >= 2)[:, None], as_tuple=True)
    if len(row) == 0:
        return None
    given = weights[row, column]  # [P, L]
    top = given.argmax(1)
    # One other distinct item, each as likely: the largest of uniform numbers.
    draw = torch.from_numpy(generator.random(tuple(given.shape)))
    draw = draw.masked_fill(given < 0, -1.0)
    draw[torch.arange(len(top)), top] = -1.0
    other = draw.argmax(1)
    pairs = chosen_rows(batch, row)
    target = asked[row, column][:, None] - 1
    position = torch.arange(len(row))

    def log_probability(histories: HistoryBatch) -> Tensor:
        return torch.log_softmax(model.score(histories), 1).gather(1, target)[:, 0]

    whole = log_probability(pairs)
    attended = whole - log_probability(erase(pairs, pairs.items[position, top]))
    random = whole - log_probability(erase(pairs, pairs.items[position, other]))
    return attended, random, batch.customers[row]


def chosen_rows(batch: HistoryBatch, row: Tensor) -> HistoryBatch:
    return HistoryBatch(
        batch.customers[row],
        batch.items[row],
        batch.days[row],
        batch.weights[row],
        batch.lengths[row],
        batch.features[row],
        batch.now[row],
    )


def erasure_verdict(
    attended: npt.NDArray[np.float64],
    random: npt.NDArray[np.float64],
    cluster: npt.NDArray[np.int64],
    generator: np.random.Generator,
) -> dict[str, Any]:
    names, member = np.unique(cluster, return_inverse=True)
    verdict: dict[str, Any] = {"n_pairs": len(attended), "n_customers": len(names)}
    if len(attended) == 0:
        empty = ("mean_drop_attended", "mean_drop_random", "mean_difference", "ci_low", "ci_high")
        return {**verdict, **dict.fromkeys(empty), "share_attended_larger": None, "better_than_random": False}
    difference = attended - random
    sums = np.bincount(member, difference, minlength=len(names))
    sizes = np.bincount(member, minlength=len(names))
    means = np.empty(BOOTSTRAP_DRAWS)
    for draw in range(BOOTSTRAP_DRAWS):
        chosen = generator.integers(0, len(names), len(names))
        means[draw] = sums[chosen].sum() / sizes[chosen].sum()
    low, high = np.quantile(means, [0.025, 0.975])
    return {
        **verdict,
        "mean_drop_attended": float(attended.mean()),
        "mean_drop_random": float(random.mean()),
        "mean_difference": float(difference.mean()),
        "ci_low": float(low),
        "ci_high": float(high),
        "share_attended_larger": float((difference > 0).mean()),
        "better_than_random": bool(low > 0),
    }
