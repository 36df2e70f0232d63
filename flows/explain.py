"""Part of the step recommend: what explains each recommendation, and the proof that it does.

The model's own weights of holdings are published as the explanation where erasing the holding that they put first is shown
to cost more than erasing a random one; else leave-one-out importance is, and is put to the same proof.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from numpy.typing import NDArray

from flows.config import RunConfig
from flows.learn import model_spec
from flows.sentences import Method
from lightning_modules.attention_detail import attention_detail
from lightning_modules.cluster_bootstrap import erasure_verdict
from lightning_modules.faithfulness import FAITHFULNESS_SCHEMA, LEAVE_ONE_OUT, Proof, prove
from lightning_modules.family import FAMILY, events_read
from lightning_modules.feature_explanations import feature_attention_table, feature_faithfulness
from lightning_modules.feature_importance import feature_importance_table, left_out_verdict, read_features
from lightning_modules.histories import Histories
from lightning_modules.importance import IMPORTANCE_SCHEMA, leave_one_out_table, weights_table
from lightning_modules.ranker import FeatureRanker, HeadedRanker, Ranker

Ints = NDArray[np.int64]
PICTURED = 24
"""Customers whose attention is pictured by layer, head and regime."""
PICTURED_EVENTS = (3, 12)
"""Fewer purchases show nothing, more do not fit a line."""


@dataclass(frozen=True)
class Explanation:
    """``weights``: customer, candidate, item, day, weight of every recommendation to a customer with a history."""

    method: Method
    weights: pl.DataFrame
    features: pl.DataFrame | None
    """customer, candidate, feature, weight; None: the model does not say which features spoke."""
    faithful: bool
    features_left_out: bool = False
    """Whether the weights of features were found by leaving each out, and not said by the model."""


def explain(
    config: RunConfig, histories: Histories, model: Ranker, top: pl.DataFrame, has_history: NDArray[np.bool_], out: Path
) -> Explanation:
    """Explains the recommendations ``top`` (customer, rank, item), and writes to ``out``:

    - ``attention.parquet``: the model's own weights (empty where it gives none);
    - ``leave_one_out.parquet``, where that is the published explanation;
    - ``faithfulness.parquet`` (:data:`lightning_modules.faithfulness.FAITHFULNESS_SCHEMA`) and ``faithfulness.json``: the
      verdict on the published method, those on each method, and the protocol;
    - ``attention_detail.parquet`` and ``attention_detail.json``, where the weights have layers and heads: a few customers';
    - ``features.parquet`` and ``feature_faithfulness.json``: which features spoke, as the model itself says, or else what leaving
      each out costs; not for a model that reads none.
    """
    kind = config.recommend.model
    member, spec = FAMILY[kind], model_spec(config, kind)
    read, k = events_read(spec), config.recommend.k
    own: Method | None = None if member.speaks == "none" else member.speaks
    warm = top.filter(pl.Series(has_history[top["customer"].to_numpy()]))
    who, candidates = listed(warm if member.reads_holdings else warm.clear(), k)

    weights = IMPORTANCE_SCHEMA.empty_table() if own is None else weights_table(model, histories, who, candidates, read)
    pq.write_table(weights, out / "attention.parquet")
    proof, method = _proven(config, histories, model, who, candidates, own)
    if method == LEAVE_ONE_OUT:
        most = config.explain.most_holdings
        weights = leave_one_out_table(model, histories, who, candidates, read, most=most)
        pq.write_table(weights, out / "leave_one_out.parquet")
    verdict = _verdict(config, proof, method, own)
    (out / "faithfulness.json").write_text(json.dumps(verdict, indent=2), encoding="utf-8")
    pq.write_table(FAITHFULNESS_SCHEMA.empty_table() if proof is None else proof.table, out / "faithfulness.parquet")
    if isinstance(model, HeadedRanker) and len(who):
        _detail(config, histories, model, who, candidates, out)
    features = _features(config, histories, model, top if member.serves_cold else warm, out)
    frame = pl.from_arrow(weights)
    assert isinstance(frame, pl.DataFrame)
    left_out = not isinstance(model, FeatureRanker)
    return Explanation(method, frame, features, bool(verdict["better_than_random"]), left_out)


def _proven(
    config: RunConfig, histories: Histories, model: Ranker, who: Ints, candidates: Ints, own: Method | None
) -> tuple[Proof | None, Method]:
    """The proof on a sample, and the method that is published by it."""
    settings = config.explain
    if len(who) == 0:
        return None, own or "none"
    read = events_read(model_spec(config, config.recommend.model))
    who, candidates = sampled(who, candidates, settings.sample_customers, settings.sample_candidates, config.seed)
    proof = prove(model, histories, who, candidates, config.seed, own=own, max_length=read, most=settings.most_holdings)
    if own is None or settings.explanation == "leave_one_out":
        return proof, "leave_one_out"
    if settings.explanation == "auto" and not proof.verdicts[own]["better_than_random"]:
        return proof, "leave_one_out"
    return proof, own


def sampled(who: Ints, candidates: Ints, customers: int, each: int, seed: int) -> tuple[Ints, Ints]:
    """A seeded sample of so many customers, and of each so many of his candidates [n, K] (0 = none): [m] and [m, each]."""
    generator = np.random.default_rng(seed)
    chosen = np.sort(generator.choice(len(who), min(customers, len(who)), replace=False))
    place = np.argsort(generator.random(candidates[chosen].shape) + (candidates[chosen] == 0), axis=1, kind="stable")
    return who[chosen], np.take_along_axis(candidates[chosen], np.sort(place[:, :each], axis=1), axis=1)


def _verdict(config: RunConfig, proof: Proof | None, method: Method, own: Method | None) -> dict[str, Any]:
    """faithfulness.json."""
    if proof is None:
        nothing = erasure_verdict(np.zeros(0), np.zeros(0), np.zeros(0, np.int64), np.random.default_rng(0))
        return {**nothing, "method": method, "weights": own, "methods": {}, "changed_weights": None}
    settings = config.explain
    return {
        **proof.verdicts[method],
        "method": method,
        # What the model itself gives: published only if it passed.
        "weights": own,
        "methods": proof.verdicts,
        "setting": settings.explanation,
        "sample_customers": settings.sample_customers,
        "sample_candidates": settings.sample_candidates,
        "most_holdings": settings.most_holdings,
        "changed_weights": proof.changed_over
        or f"not applicable: {config.recommend.model} scores without attention weights, so there is nothing to shuffle",
    }


def _detail(config: RunConfig, histories: Histories, model: HeadedRanker, who: Ints, candidates: Ints, out: Path) -> None:
    """A seeded sample of customers, of those with a history that a picture can show where there are any."""
    lengths = histories.lengths.numpy()[who]
    fitting = np.flatnonzero((lengths >= PICTURED_EVENTS[0]) & (lengths <= PICTURED_EVENTS[1]))
    pool = fitting if len(fitting) else np.arange(len(who))
    chosen = np.sort(np.random.default_rng(config.seed).choice(pool, min(PICTURED, len(pool)), replace=False))
    read = events_read(model_spec(config, config.recommend.model))
    table, regimes = attention_detail(model, histories, who[chosen], candidates[chosen], read)
    pq.write_table(table, out / "attention_detail.parquet")
    (out / "attention_detail.json").write_text(json.dumps({"regimes": regimes}, indent=2), encoding="utf-8")


def _features(config: RunConfig, histories: Histories, model: Ranker, top: pl.DataFrame, out: Path) -> pl.DataFrame | None:
    read = events_read(model_spec(config, config.recommend.model))
    who, candidates = listed(top, config.recommend.k)
    some = sampled(who, candidates, config.explain.sample_customers, config.explain.sample_candidates, config.seed)
    if isinstance(model, FeatureRanker):
        method = "attention"
        table = feature_attention_table(model, histories, who, candidates, read)
        proof = feature_faithfulness(model, histories, *some, config.seed, max_length=read)
    elif read_features(model, histories):
        method = LEAVE_ONE_OUT
        table = feature_importance_table(model, histories, who, candidates, read)
        proof = left_out_verdict(model, histories, *some, config.seed, max_length=read)
    else:
        return None
    pq.write_table(table, out / "features.parquet")
    (out / "feature_faithfulness.json").write_text(json.dumps({**proof, "method": method}, indent=2), encoding="utf-8")
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


def listed(top: pl.DataFrame, k: int) -> tuple[Ints, Ints]:
    """Customers [n] in order of appearance, and their items by rank [n, k], 0 where there is none."""
    who = top["customer"].unique(maintain_order=True).to_numpy().astype(np.int64)
    place = pl.DataFrame({"customer": who.astype(np.int32), "row": np.arange(len(who))})
    items = np.zeros((len(who), k), np.int64)
    placed = top.join(place, on="customer", maintain_order="left")
    items[placed["row"].to_numpy(), placed["rank"].to_numpy() - 1] = placed["item"].to_numpy()
    return who, items
