"""The proof of an explanation: does the model need the holdings that it names?

A weight says where a model looked. It becomes an explanation only if taking away what it points at moves the score more than
taking away anything else. For pairs of a customer and a listed candidate, with log p the candidate's log-probability over the
catalogue and S the k holdings that an explanation puts first::

    comprehensiveness = log p(all) - log p(all without S)      the more, the better
    sufficiency       = log p(all) - log p(S alone)            the less, the better

each paired with the same number of random holdings, and with the most recent ones. Beside it: how far the weights order the
holdings as leaving each out does (Kendall tau-b), and what becomes of the scores when a fitted model's weights are shuffled
among the holdings, or made even (:mod:`lightning_modules.changed_weights`).

Leave-one-out importance goes through the same tests. It comes first at k = 1 by construction: there it is the erasure itself.

Sources: DeYoung et al. 2020 (ERASER), https://arxiv.org/abs/1911.03429; Jain and Wallace 2019,
https://arxiv.org/abs/1902.10186; tau-b: Kendall 1945, https://doi.org/10.1093/biomet/33.3.239
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from scipy.stats import kendalltau
from torch import Tensor

from lightning_modules.changed_weights import Shuffled, Uniform, changed_weights
from lightning_modules.cluster_bootstrap import ClusterBootstrap, erasure_verdict
from lightning_modules.erasure import log_probabilities, rescored
from lightning_modules.histories import Histories, HistoryBatch
from lightning_modules.importance import (
    MOST_HOLDINGS,
    events_of,
    leave_one_out,
    measured_holdings,
    slices,
    weights_by_holding,
)
from lightning_modules.ranker import Ranker

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.integer[Any]]
SIZES: tuple[tuple[str, int | float], ...] = (("1", 1), ("2", 2), ("3", 3), ("20 %", 0.2), ("50 %", 0.5))
"""How many holdings are erased or kept: a number, or a share of the customer's (rounded up)."""
LEAVE_ONE_OUT, RANDOM, RECENT = "leave_one_out", "random", "recent"
SHUFFLES = 5
FAITHFULNESS_SCHEMA = pa.schema(
    [
        ("method", pa.string()),
        ("measure", pa.string()),
        ("k", pa.string()),
        ("against", pa.string()),
        ("value", pa.float64()),
        ("reference", pa.float64()),
        ("difference", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("n_pairs", pa.int64()),
        ("n_customers", pa.int64()),
    ]
)
"""``difference`` is in favour of ``method``: value less reference, or for sufficiency reference less value; low and high are
its 95 % interval. ``against``: random, recent, or empty where the value stands alone."""


@dataclass(frozen=True)
class Proof:
    """What was measured: the table, the verdict of each method at k = 1, and over what attention was changed."""

    table: pa.Table
    verdicts: dict[str, dict[str, Any]]
    changed_over: str | None
    """"holdings" or "signals"; None: the model scores without attention weights, so none could be shuffled."""


def prove(
    model: Ranker,
    histories: Histories,
    customers: Integers,
    candidates: Integers,
    seed: int,
    *,
    own: str | None,
    max_length: int | None = None,
    most: int = MOST_HOLDINGS,
    batch_size: int = 128,
) -> Proof:
    """Measures the model's own weights (``own`` names them; None: it gives none) and leave-one-out importance.

    Args:
        customers: [n] rows; candidates: [n, K] items 1..N, 0 = none. A customer's candidates are one cluster.
        most: leave-one-out looks at so many of the most recent holdings.

    Only customers with more than k distinct holdings are asked about k of them: else there is nothing to choose.
    """
    customers = np.asarray(customers, np.int64)
    methods = (LEAVE_ONE_OUT,) if own is None else (own, LEAVE_ONE_OUT)
    generator = torch.Generator().manual_seed(seed)
    parts: list[_Measured] = []
    for number, chosen in enumerate(slices(histories, customers, max_length, batch_size)):
        batch = histories.batch(customers[chosen], max_length)
        asked = torch.from_numpy(np.asarray(candidates[chosen], np.int64))
        parts.append(_measure(model, batch, asked, methods, most, generator, seed + number))
    found = _joined(parts)
    bootstrap = ClusterBootstrap(found.cluster, np.random.default_rng(seed))
    rows = [row for method in (*methods, RECENT) for row in _erasure_rows(found, bootstrap, method)]
    rows += [
        _row(RANDOM, measure, k, "", values, None, bootstrap)
        for (who, measure, k), values in found.values.items()
        if who == RANDOM
    ]
    rows += [row for method in methods if method != LEAVE_ONE_OUT for row in _agreement_rows(found, bootstrap, method)]
    rows += [
        _row(method, measure, "", "", values, None, bootstrap)
        for (method, measure, k), values in found.values.items()
        if measure.startswith(("shuffled", "uniform"))
    ]
    verdicts = {method: _verdict(found, method, seed) for method in methods}
    over = {part.changed_over for part in parts} - {None}
    table = pa.Table.from_pylist(rows, schema=FAITHFULNESS_SCHEMA)
    return Proof(table, verdicts, next(iter(over)) if over else None)


@dataclass(frozen=True)
class _Measured:
    """Of P pairs: whose each is [P], and values [P] by (who, measure, k), NaN where there was no choice."""

    cluster: npt.NDArray[np.int64]
    values: dict[tuple[str, str, str], Floats]
    changed_over: str | None = None


def _joined(parts: list[_Measured]) -> _Measured:
    if not parts:
        return _Measured(np.zeros(0, np.int64), {})
    values = {key: np.concatenate([part.values[key] for part in parts]) for key in parts[0].values}
    return _Measured(np.concatenate([part.cluster for part in parts]), values)


def _measure(
    model: Ranker,
    batch: HistoryBatch,
    asked: Tensor,
    methods: tuple[str, ...],
    most: int,
    generator: torch.Generator,
    seed: int,
) -> _Measured:
    with torch.no_grad():
        whole_scores = model.score(batch)
    whole = log_probabilities(whole_scores, asked)  # [B, K]
    measured = measured_holdings(batch, most)
    latest = measured_holdings(batch, batch.items.shape[1])
    count = latest.sum(1)  # [B]
    pair = (asked > 0) & (count >= 2)[:, None]
    drops = leave_one_out(model, batch, asked, whole, most)  # [B, K, L]
    noise, ties = torch.rand(2, *latest.shape, generator=generator)
    position = torch.arange(latest.shape[1], dtype=torch.float32).expand_as(latest)
    importance = {
        LEAVE_ONE_OUT: drops.nan_to_num(-torch.inf),
        RANDOM: noise[:, None],
        RECENT: position[:, None],
    }
    for method in methods:
        if method != LEAVE_ONE_OUT:
            importance[method] = weights_by_holding(model, batch, asked)
    values: dict[tuple[str, str, str], Floats] = {}
    questions: list[tuple[tuple[str, str, str], Tensor, Tensor, Tensor]] = []
    for who, given in importance.items():
        rank = _ranks(given, latest, ties)  # [B, K or 1, L]
        for name, size in SIZES:
            k = _how_many(size, count)
            chosen = events_of(batch, (rank < k[:, None, None]).transpose(0, 1)).transpose(0, 1)  # [B, K or 1, L]
            for measure, kept in (("comprehensiveness", ~chosen), ("sufficiency", chosen)):
                questions.append(((who, measure, name), kept, k, pair & (count > k)[:, None]))
    answers = _asked_together(model, batch, asked, [kept for _, kept, _, _ in questions])
    for (key, _, _, valid), answer in zip(questions, answers, strict=True):
        values[key] = torch.where(valid, whole - answer, torch.nan)[pair].double().numpy()
    for method in methods:
        if method != LEAVE_ONE_OUT:
            taus = [_taus(given, drops, measured, pair) for given in (importance[method], importance[RECENT].expand_as(drops))]
            values[method, "agreement", ""], values[RECENT, "agreement", ""] = taus
    over = _changed(model, batch, asked, whole_scores, whole, pair, seed, values)
    return _Measured(batch.customers[:, None].expand_as(pair)[pair].numpy(), values, over)


def _ranks(importance: Tensor, latest: Tensor, ties: Tensor) -> Tensor:
    """Importance [B, K, L] -> the place of each holding, 0 = most important; equal ones in random order, the rest last."""
    first = torch.argsort(ties, dim=1)[:, None].expand_as(importance)
    allowed = importance.masked_fill(~latest[:, None], -torch.inf)
    # What is not measured (-inf) still stands before what is no holding.
    level = torch.where(latest[:, None], allowed.clamp_min(-1e30), -torch.inf)
    order = first.gather(2, torch.argsort(level.gather(2, first), dim=2, descending=True, stable=True))
    place = torch.arange(order.shape[2]).expand_as(order)
    ranks = torch.empty_like(order).scatter(2, order, place)
    return ranks.masked_fill(~latest[:, None], order.shape[2])


def _how_many(size: int | float, count: Tensor) -> Tensor:
    """[B] how many holdings ``size`` is, of ``count`` [B]."""
    if isinstance(size, int):
        return torch.full_like(count, size)
    return torch.tensor([max(1, math.ceil(size * n - 1e-9)) for n in count.tolist()], dtype=count.dtype)


def _asked_together(model: Ranker, batch: HistoryBatch, asked: Tensor, questions: list[Tensor]) -> list[Tensor]:
    """Questions [B, K or 1, L] of events to keep -> log-probabilities [B, K] of each candidate under its own."""
    rows = torch.arange(len(batch.items))
    row = torch.cat([rows[:, None].expand(kept.shape[:2]).flatten() for kept in questions])
    found = rescored(model, batch, asked, row, torch.cat([kept.flatten(0, 1) for kept in questions]))  # [.., K]
    answers: list[Tensor] = []
    for part, kept in zip(found.split([kept.shape[0] * kept.shape[1] for kept in questions]), questions, strict=True):
        answer = part.unflatten(0, kept.shape[:2])  # [B, K or 1, K]
        answers.append(answer[:, 0] if kept.shape[1] == 1 and asked.shape[1] > 1 else answer.diagonal(dim1=1, dim2=2))
    return answers


def _taus(given: Tensor, drops: Tensor, measured: Tensor, pair: Tensor) -> Floats:
    """Kendall's tau-b of weights and drops [B, K, L] over a pair's measured holdings, [P]; NaN where either orders nothing."""
    row, column = torch.nonzero(pair, as_tuple=True)
    found = np.full(len(row), np.nan)
    for place, (b, k) in enumerate(zip(row.tolist(), column.tolist(), strict=True)):
        real = measured[b]
        one, other = given[b, k, real].numpy(), drops[b, k, real].numpy()
        if len(one) > 1 and np.ptp(one) > 0 and np.ptp(other) > 0:
            found[place] = kendalltau(one, other).statistic
    return found


def _changed(
    model: Ranker,
    batch: HistoryBatch,
    asked: Tensor,
    scores: Tensor,
    whole: Tensor,
    pair: Tensor,
    seed: int,
    values: dict[tuple[str, str, str], Floats],
) -> str | None:
    """Adds how far shuffled and even weights move the scores: total variation of the softmax, and nats lost; over what."""
    fitted = torch.softmax(scores.float(), 1)
    over: set[str] = set()
    for name, changes in (("shuffled", [Shuffled(seed * SHUFFLES + n) for n in range(SHUFFLES)]), ("uniform", [Uniform()])):
        moved, lost = torch.zeros(len(fitted)), torch.zeros_like(whole)
        for change in changes:
            with torch.no_grad(), changed_weights(change):
                other = model.score(batch)
            over |= change.over
            moved += (torch.softmax(other.float(), 1) - fitted).abs().sum(1) / 2 / len(changes)
            lost += (whole - log_probabilities(other, asked)) / len(changes)
        values["attention", f"{name} weights, total variation", ""] = moved[:, None].expand_as(pair)[pair].double().numpy()
        values["attention", f"{name} weights, nats lost", ""] = lost[pair].double().numpy()
    if over:
        return sorted(over)[0]
    for key in [key for key in values if key[1].startswith(("shuffled", "uniform"))]:
        values[key] = np.full_like(values[key], np.nan)
    return None


def _erasure_rows(found: _Measured, bootstrap: ClusterBootstrap, method: str) -> list[dict[str, Any]]:
    against = (RANDOM,) if method == RECENT else (RANDOM, RECENT)
    return [
        _row(method, measure, k, other, values, found.values[other, measure, k], bootstrap, less=measure == "sufficiency")
        for (who, measure, k), values in found.values.items()
        if who == method and measure in ("comprehensiveness", "sufficiency")
        for other in against
    ]


def _agreement_rows(found: _Measured, bootstrap: ClusterBootstrap, method: str) -> list[dict[str, Any]]:
    if (method, "agreement", "") not in found.values:
        return []
    values, recent = found.values[method, "agreement", ""], found.values[RECENT, "agreement", ""]
    return [
        _row(method, "agreement", "", "", values, None, bootstrap),
        _row(method, "agreement", "", RECENT, values, recent, bootstrap),
    ]


def _row(
    method: str,
    measure: str,
    k: str,
    against: str,
    values: Floats,
    reference: Floats | None,
    bootstrap: ClusterBootstrap,
    *,
    less: bool = False,
) -> dict[str, Any]:
    known = np.isfinite(values) if reference is None else np.isfinite(values) & np.isfinite(reference)
    paired = values if reference is None else (reference - values if less else values - reference)
    paired = np.where(known, paired, np.nan)
    low, high = bootstrap.interval(paired)
    mean = float(values[known].mean()) if known.any() else None
    base = float(reference[known].mean()) if reference is not None and known.any() else None
    return {
        "method": method,
        "measure": measure,
        "k": k,
        "against": against,
        "value": mean,
        "reference": base,
        "difference": float(paired[known].mean()) if reference is not None and known.any() else None,
        "low": low,
        "high": high,
        "n_pairs": int(known.sum()),
        "n_customers": bootstrap.customers(paired),
    }


def _verdict(found: _Measured, method: str, seed: int) -> dict[str, Any]:
    generator = np.random.default_rng(seed)
    key = (method, "comprehensiveness", "1")
    if key not in found.values:
        return erasure_verdict(np.zeros(0), np.zeros(0), np.zeros(0, np.int64), generator)
    own, random = found.values[key], found.values[RANDOM, "comprehensiveness", "1"]
    return erasure_verdict(own, random, found.cluster, generator)
