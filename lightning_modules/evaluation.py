"""Rank the full catalogue for customers with known later purchases: no sampled negatives, ties counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor

from lightning_modules.examples import owned_columns
from lightning_modules.histories import Histories, HistoryBatch
from lightning_modules.topk import top_k

Integers = npt.NDArray[np.integer[Any]]
Scorer = Callable[[HistoryBatch], Tensor]


def rank_tables(
    score: Scorer,
    histories: Histories,
    relevant_customers: Integers,
    relevant_items: Integers,
    k: int = 10,
    batch_size: int = 512,
    max_length: int | None = None,
    exclude_history: bool = True,
) -> tuple[pa.Table, pa.Table]:
    """Where the relevant items stand in each customer's ranking of the whole catalogue.

    Args:
        score: histories of B customers -> [B, N]; a model's ``score`` or a baseline.
        relevant_customers, relevant_items: parallel arrays, one entry per relevant pair (customer row, item 1..N).
        k: length of the list in ``top``; 0 leaves it empty and saves the sort.
        max_length: events that ``score`` gets to see; what is excluded does not depend on it.
        exclude_history: items the customer already bought are not candidates.

    Returns:
        relevant_ranks: customer int32, item int32, greater int64 (candidates that score higher), ties int64 (other
        candidates that score the same), rank int64 (1-based; higher score first, equal scores by item),
        n_candidates int64, n_relevant int64. One row per distinct pair, by customer and item.
        top: customer int32, rank int32 (1..k), item int32, score float32, relevant bool.

    Raises:
        ValueError: a pair is outside the training set, or is excluded because it is history; a score is NaN.
    """
    pairs = _distinct_pairs(relevant_customers, relevant_items, histories)
    customers = np.unique(pairs[:, 0])
    ranks: list[dict[str, npt.NDArray[Any]]] = []
    tops: list[dict[str, npt.NDArray[Any]]] = []
    for batch in histories.batches(customers, batch_size=batch_size, max_length=max_length):
        with torch.no_grad():
            scores = score(batch).float().cpu()
        full = histories.batch(batch.customers)
        excluded = owned_columns(full.items, histories.n_items) if exclude_history else None
        one_rank, one_top = _rank_batch(scores, excluded, batch.customers.numpy(), pairs, k)
        ranks.append(one_rank)
        tops.append(one_top)
    relevant = _sorted(ranks, _RANK_SCHEMA, ("customer", "item"))
    return relevant, _sorted(tops, _TOP_SCHEMA, ("customer", "rank"))


_RANK_SCHEMA = pa.schema(
    [
        ("customer", pa.int32()),
        ("item", pa.int32()),
        ("greater", pa.int64()),
        ("ties", pa.int64()),
        ("rank", pa.int64()),
        ("n_candidates", pa.int64()),
        ("n_relevant", pa.int64()),
    ]
)
_TOP_SCHEMA = pa.schema(
    [
        ("customer", pa.int32()),
        ("rank", pa.int32()),
        ("item", pa.int32()),
        ("score", pa.float32()),
        ("relevant", pa.bool_()),
    ]
)


def _rank_batch(
    scores: Tensor, excluded: Tensor | None, customers: Integers, pairs: Integers, k: int
) -> tuple[dict[str, npt.NDArray[Any]], dict[str, npt.NDArray[Any]]]:
    if bool(scores.isnan().any()):
        raise ValueError(f"{int(scores.isnan().any(1).sum())} customer(s) of a batch have NaN scores")
    n_items = scores.shape[1]
    candidate = torch.ones_like(scores, dtype=torch.bool) if excluded is None else ~excluded
    # The pairs of this batch: pairs are sorted by customer, batches are not.
    row_of = np.argsort(customers, kind="stable")
    place = np.searchsorted(customers[row_of], pairs[:, 0])
    here = (place < len(customers)) & (customers[row_of][np.minimum(place, len(customers) - 1)] == pairs[:, 0])
    mine = pairs[here]
    row = torch.from_numpy(row_of[place[here]])
    column = torch.from_numpy(mine[:, 1] - 1)
    barred = ~candidate[row, column]
    if bool(barred.any()):
        raise ValueError(f"{int(barred.sum())} relevant pair(s) are already in the customer's history")
    own = scores[row, column][:, None]  # [R, 1]
    others = candidate[row]  # [R, N]
    table = scores[row]
    higher = ((table > own) & others).sum(1)
    equal = (table == own) & others
    before = (equal & (torch.arange(n_items) < column[:, None])).sum(1)
    relevant = torch.zeros_like(candidate)
    relevant[row, column] = True
    ranks = {
        "customer": mine[:, 0],
        "item": mine[:, 1],
        "greater": higher.numpy(),
        "ties": equal.sum(1).numpy() - 1,
        "rank": (1 + higher + before).numpy(),
        "n_candidates": candidate.sum(1)[row].numpy(),
        "n_relevant": relevant.sum(1)[row].numpy(),
    }
    return ranks, _top(scores, candidate, relevant, customers, k)


def top_columns(scores: Tensor, candidate: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Columns [B, k] of the k best candidates (score falling, then item), and which of them are real [B, k]."""
    _, order = top_k(scores.masked_fill(~candidate, -torch.inf), k)
    return order, torch.gather(candidate, 1, order)


def _top(scores: Tensor, candidate: Tensor, relevant: Tensor, customers: Integers, k: int) -> dict[str, npt.NDArray[Any]]:
    order, real = top_columns(scores, candidate, k)
    row, place = torch.nonzero(real, as_tuple=True)
    column = order[row, place]
    return {
        "customer": customers[row.numpy()],
        "rank": place.numpy() + 1,
        "item": column.numpy() + 1,
        "score": scores[row, column].numpy(),
        "relevant": relevant[row, column].numpy(),
    }


def _distinct_pairs(customers: Integers, items: Integers, histories: Histories) -> npt.NDArray[np.int64]:
    pairs = np.stack([np.asarray(customers, np.int64), np.asarray(items, np.int64)], axis=1)
    if len(pairs) == 0:
        return pairs
    if pairs[:, 0].min() < 0 or pairs[:, 0].max() >= histories.n_customers:
        raise ValueError(f"relevant customers lie outside 0..{histories.n_customers - 1}")
    if pairs[:, 1].min() < 1 or pairs[:, 1].max() > histories.n_items:
        raise ValueError(f"relevant items lie outside 1..{histories.n_items}")
    return np.unique(pairs, axis=0)


def _sorted(parts: list[dict[str, npt.NDArray[Any]]], schema: pa.Schema, keys: tuple[str, ...]) -> pa.Table:
    if not parts:
        return schema.empty_table()
    columns = {name: np.concatenate([part[name] for part in parts]) for name in schema.names}
    table = pa.table({name: pa.array(columns[name]).cast(schema.field(name).type) for name in schema.names})
    return table.sort_by([(key, "ascending") for key in keys])


def best_items(
    score: Scorer, histories: Histories, customers: Integers, k: int, max_length: int | None = None, batch_size: int = 512
) -> npt.NDArray[np.int64]:
    """[n, k] items 1..N that ``customers`` [n] (rows) have not bought, best first; 0 where there are no more."""
    found = np.zeros((len(customers), k), np.int64)
    place = {int(row): number for number, row in enumerate(customers)}
    for batch in histories.batches(customers, batch_size=batch_size, max_length=max_length):
        with torch.no_grad():
            scores = score(batch).float().cpu()
        owned = owned_columns(histories.batch(batch.customers).items, histories.n_items)
        order, real = top_columns(scores, ~owned, k)
        rows = [place[row] for row in batch.customers.tolist()]
        found[rows, : order.shape[1]] = torch.where(real, order + 1, 0).numpy()
    return found
