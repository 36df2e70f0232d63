"""How much each feature counts for a candidate, by leaving it out: for rankers that do not say so themselves.

A feature of assets (the sector, say) is hidden of every asset, one of customers (the risk level) of the customer asked about:
both then stand at the training set's mean. What the candidate's log-probability loses is that feature's importance. It costs
one scoring a feature and customer, for all candidates together. A ranker that reads no features has none.

Source: as leaving out holdings (:mod:`lightning_modules.importance`); replacing by the mean: Covert, Lundberg and Lee 2021
(explaining by removing), https://arxiv.org/abs/2011.14878
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor, nn

from lightning_modules.cluster_bootstrap import erasure_verdict
from lightning_modules.erasure import log_probabilities
from lightning_modules.feature_explanations import FEATURE_SCHEMA
from lightning_modules.feature_groups import feature_groups
from lightning_modules.features import StandardisedFeatures
from lightning_modules.histories import Histories, HistoryBatch
from lightning_modules.importance import ROUNDING
from lightning_modules.interactions import shares
from lightning_modules.ranker import Ranker

Integers = npt.NDArray[np.integer[Any]]
RECENT_BUYERS = "recent buyers"
ITEM_SCALES, PROFILE_SCALE = ("item_scale", "items.scale"), "profile_scale"
"""What the family's models call the scale of the features that they read."""


def read_features(model: Ranker, histories: Histories) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Feature -> of whom it is ("asset" or "customer"), and its columns; what the model does not read is not in it."""
    scales = _scales(model)
    found: dict[str, tuple[str, tuple[int, ...]]] = {}
    if any(name in scales for name in ITEM_SCALES):
        names = histories.item_feature_names
        groups = feature_groups(names)
        grouped = {column for columns in groups.values() for column in columns}
        rest = tuple(column for column in range(len(names)) if column not in grouped)
        found |= {group: ("asset", columns) for group, columns in groups.items()}
        found |= {RECENT_BUYERS: ("asset", rest)} if rest else {}
    if PROFILE_SCALE in scales:
        traits: dict[str, list[int]] = {}
        for column, name in enumerate(histories.customer_feature_names):
            traits.setdefault(name.split("=")[0].rstrip("?"), []).append(column)
        found |= {trait: ("customer", tuple(columns)) for trait, columns in traits.items()}
    return found


def left_out_features(model: Ranker, histories: Histories, batch: HistoryBatch, candidates: Tensor) -> Tensor:
    """[B, K, F] float32: nats that a candidate loses without each of :func:`read_features`."""
    with torch.no_grad():
        whole = log_probabilities(model.score(batch), candidates)
        drops = [
            whole - log_probabilities(_score_without(model, batch, of, columns), candidates)
            for of, columns in read_features(model, histories).values()
        ]
    return torch.stack(drops, -1) if drops else whole.new_zeros(*whole.shape, 0)


def feature_importance_table(
    model: Ranker,
    histories: Histories,
    customers: Integers,
    candidates: Integers,
    max_length: int | None = None,
    *,
    batch_size: int = 512,
) -> pa.Table:
    """Each feature's share of what is lost without it, over the features without which anything is.

    Arguments as in :func:`lightning_modules.importance.weights_table`.

    Returns:
        customer int32, candidate int32, feature string, weight float32. By customer and candidate as given, weight falling.
    """
    customers, candidates = np.asarray(customers, np.int64), np.asarray(candidates, np.int64)
    names = pa.array(list(read_features(model, histories)), pa.string())
    parts: list[pa.Table] = []
    for start in range(0, len(customers) if len(names) else 0, batch_size):
        chosen = slice(start, start + batch_size)
        asked = torch.from_numpy(candidates[chosen])
        drops = left_out_features(model, histories, histories.batch(customers[chosen], max_length), asked)
        weights, order = shares(torch.where(drops > ROUNDING, drops, 0.0)).sort(dim=-1, descending=True, stable=True)
        row, column = torch.nonzero(asked > 0, as_tuple=True)
        columns = [
            pa.array(np.repeat(customers[chosen][row.numpy()], len(names)).astype(np.int32)),
            pa.array(np.repeat(asked[row, column].numpy(), len(names)).astype(np.int32)),
            names.take(pa.array(order[row, column].flatten().numpy())),
            pa.array(weights[row, column].flatten().numpy()),
        ]
        parts.append(pa.table(columns, schema=FEATURE_SCHEMA))
    return pa.concat_tables(parts) if parts else FEATURE_SCHEMA.empty_table()


def left_out_verdict(
    model: Ranker,
    histories: Histories,
    customers: Integers,
    candidates: Integers,
    seed: int,
    *,
    max_length: int | None = None,
) -> dict[str, Any]:
    """Hiding the feature named first against hiding another one, as :func:`erasure_verdict`; first by construction."""
    generator = np.random.default_rng(seed)
    customers = np.asarray(customers, np.int64)
    if not len(customers):  # rules may leave nobody anything to be offered
        return erasure_verdict(np.zeros(0), np.zeros(0), np.zeros(0, np.int64), generator)
    asked = torch.from_numpy(np.asarray(candidates, np.int64))
    drops = left_out_features(model, histories, histories.batch(customers, max_length), asked).double().numpy()
    row, column = np.nonzero(asked.numpy() > 0)
    given = drops[row, column]  # [P, F]
    if given.shape[1] < 2:
        return erasure_verdict(np.zeros(0), np.zeros(0), np.zeros(0, np.int64), generator)
    first = given.argmax(1)
    draw = generator.random(given.shape)
    draw[np.arange(len(first)), first] = -1.0  # one of the others
    pair = np.arange(len(first))
    return erasure_verdict(given[pair, first], given[pair, draw.argmax(1)], customers[row].astype(np.int64), generator)


def _scales(model: Ranker) -> dict[str, StandardisedFeatures]:
    if not isinstance(model, nn.Module):
        return {}
    return {name: part for name, part in model.named_modules() if isinstance(part, StandardisedFeatures)}


def _score_without(model: Ranker, batch: HistoryBatch, of: str, columns: tuple[int, ...]) -> Tensor:
    """[B, N]."""
    scales = _scales(model)
    if of == "customer":
        features = batch.features.clone()
        features[:, list(columns)] = scales[PROFILE_SCALE].mean[list(columns)].to(features)
        return model.score(replace(batch, features=features))
    with ExitStack() as stack:
        for name in ITEM_SCALES:
            if name in scales:
                stack.enter_context(scales[name].hiding(columns))
        return model.score(batch)
