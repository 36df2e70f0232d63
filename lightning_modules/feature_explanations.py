"""Feature attention as a table, and its own test by erasure: which features of an asset spoke for it, and did they?"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor

from lightning_modules.cluster_bootstrap import erasure_verdict
from lightning_modules.erasure import chosen_rows
from lightning_modules.histories import Histories, HistoryBatch
from lightning_modules.ranker import FeatureRanker

Integers = npt.NDArray[np.integer[Any]]
FEATURE_SCHEMA = pa.schema(
    [("customer", pa.int32()), ("candidate", pa.int32()), ("feature", pa.string()), ("weight", pa.float32())]
)


def feature_attention_table(
    model: FeatureRanker,
    histories: Histories,
    customers: Integers,
    candidates: Integers,
    max_length: int | None = None,
    *,
    batch_size: int = 512,
) -> pa.Table:
    """Which features of each candidate spoke for it; arguments as in :func:`lightning_modules.importance.weights_table`.

    Returns:
        customer int32, candidate int32, feature string (of the model's ``feature_names``), weight float32 (1 in total
        per candidate). By customer as given, candidate as given, weight falling.
    """
    customers, candidates = np.asarray(customers, np.int64), np.asarray(candidates, np.int64)
    names = pa.array(model.feature_names)
    parts: list[pa.Table] = []
    for start in range(0, len(customers), batch_size):
        chosen = slice(start, start + batch_size)
        asked = torch.from_numpy(candidates[chosen])
        with torch.no_grad():
            weights = model.feature_attention(histories.batch(customers[chosen], max_length), asked).float()  # [B, K, F]
        weights, order = weights.sort(dim=-1, descending=True, stable=True)
        row, column = torch.nonzero(asked > 0, as_tuple=True)
        count = weights.shape[-1]
        columns = [
            pa.array(np.repeat(customers[chosen][row.numpy()], count).astype(np.int32)),
            pa.array(np.repeat(asked[row, column].numpy(), count).astype(np.int32)),
            names.take(pa.array(order[row, column].flatten().numpy())),
            pa.array(weights[row, column].flatten().numpy()),
        ]
        parts.append(pa.table(columns, schema=FEATURE_SCHEMA))
    return pa.concat_tables(parts) if parts else FEATURE_SCHEMA.empty_table()


def feature_faithfulness(
    model: FeatureRanker,
    histories: Histories,
    customers: Integers,
    candidates: Integers,
    seed: int,
    *,
    max_length: int | None = None,
    batch_size: int = 64,
) -> dict[str, Any]:
    """How much more a candidate loses when its most attended feature is hidden than when another of its features is.

    The answer is that of :func:`lightning_modules.cluster_bootstrap.erasure_verdict`: there holdings are erased, here one group
    of the candidate's own features.
    """
    generator = np.random.default_rng(seed)
    customers, candidates = np.asarray(customers, np.int64), np.asarray(candidates, np.int64)
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    for start in range(0, len(customers), batch_size):
        chosen = slice(start, start + batch_size)
        with torch.no_grad():
            parts += _drops(
                model, histories.batch(customers[chosen], max_length), torch.from_numpy(candidates[chosen]), generator
            )
    none = torch.zeros(0)
    attended, random, cluster = (torch.cat([none, *(part[place] for part in parts)]) for place in range(3))
    return erasure_verdict(attended.double().numpy(), random.double().numpy(), cluster.long().numpy(), generator)


def _drops(
    model: FeatureRanker, batch: HistoryBatch, asked: Tensor, generator: np.random.Generator
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Drops in log-probability for the attended and another feature, and the customer, per pair; nothing if no pair."""
    weights = model.feature_attention(batch, asked)  # [B, K, F]
    row, column = torch.nonzero((asked > 0) & ((weights > 0).sum(-1) >= 2), as_tuple=True)
    if len(row) == 0:
        return []
    given = weights[row, column]  # [P, F]
    top = given.argmax(1)
    # One other feature that the candidate has, each as likely: the largest of uniform numbers.
    draw = torch.from_numpy(generator.random(tuple(given.shape))).masked_fill(given <= 0, -1.0)
    other = draw.scatter(1, top[:, None], -1.0).argmax(1)
    pairs, items = chosen_rows(batch, row), asked[row, column]

    def log_probability(scores: Tensor) -> Tensor:
        return torch.log_softmax(scores, 1).gather(1, items[:, None] - 1)[:, 0]

    whole = log_probability(model.score(pairs))
    attended = whole - log_probability(model.score_without(pairs, items, top))
    random = whole - log_probability(model.score_without(pairs, items, other))
    return [(attended, random, batch.customers[row])]
