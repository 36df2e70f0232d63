"""Accuracy: against popularity, against EASE, against the champion. Paired intervals, never bare differences."""

from __future__ import annotations

from typing import Any

import polars as pl

from flows.gate.finding import Finding, Subject, interval, signed
from flows.sections.gate import GateConfig
from reports.evidence_pack import FEWEST_CUSTOMERS
from reports.ranking import EASE, POPULARITY, main_cutoff

POPULAR = Subject(
    "popularity",
    "Accuracy against popularity",
    "model",
    "The model is not shown to recommend better than one list that is the same for everybody.",
    "data scientist",
    "Do not rely on this model; compare with `nightfolio train`.",
    "#ranking",
)
LINEAR = Subject(
    "ease",
    "Accuracy against EASE",
    "model",
    "The model is not shown to recommend better than a simple linear one.",
    "data scientist",
    "The model does not beat a linear one that takes seconds: publish that one (recommend.model = ease), or tune.",
    "#ranking",
)
CHAMPION = Subject(
    "champion",
    "Accuracy against the champion",
    "model",
    "Tonight's settings were not shown to be better than those in force, so those in force were used.",
    "data scientist",
    "Tonight's settings did not earn their place: keep the champion's in the preset, or show a gain with `nightfolio train`.",
    "#ranking",
)


def _everyone(metrics: pl.DataFrame, model: str) -> tuple[dict[str, Any], int]:
    row = metrics.filter((pl.col("segment_kind") == "all") & (pl.col("model") == model)).row(0, named=True)
    return row, main_cutoff(metrics)


def against_popularity(metrics: pl.DataFrame, model: str, settings: GateConfig) -> Finding:
    """Above: pass. Not shown to be above: warn. Below: as set (block). Fewer than 20 customers: warn, whatever they say."""
    row, k = _everyone(metrics, model)
    if model == POPULARITY:
        return POPULAR.not_applicable("popularity itself is published")
    gain, low, high, n = row["ndcg_gain"], row["ndcg_gain_low"], row["ndcg_gain_high"], row["n_customers"]
    said = f"NDCG@{k} {row[f'ndcg_at_{k}']:.4f}, paired gain {signed(gain)} {interval(low, high)} over {n:,} customers"
    threshold = "the 95 % interval of the paired gain lies above 0"
    numbers = {"gain": gain, "low": low, "high": high, "n": n}
    if n < FEWEST_CUSTOMERS or low is None or high is None:
        return POPULAR.found("warn", f"{said}: too few to say", threshold, **numbers)
    if high < 0:
        return POPULAR.found(settings.popularity, f"{said}: worse than a list that is the same for all", threshold, **numbers)
    return POPULAR.found("pass" if low > 0 else "warn", said, threshold, **numbers)


def against_ease(metrics: pl.DataFrame, model: str, settings: GateConfig) -> Finding:
    """Above EASE or EASE itself."""
    row, _ = _everyone(metrics, model)
    if model == EASE:
        return LINEAR.not_applicable("EASE itself is published")
    gain, low, high = row["ease_gain"], row["ease_gain_low"], row["ease_gain_high"]
    if gain is None:
        return LINEAR.not_applicable("EASE was not computed: the catalogue is too large for it")
    holds = low is not None and low > 0 and row["n_customers"] >= FEWEST_CUSTOMERS
    return LINEAR.judged(
        holds,
        settings.ease,
        f"paired gain {signed(gain)} {interval(low, high)}",
        "the 95 % interval of the paired gain lies above 0",
        gain=gain,
        low=low,
        high=high,
    )


def against_champion(champion: dict[str, Any] | None, settings: GateConfig) -> Finding:
    """What the challenge came to (:mod:`flows.champion`)."""
    if champion is None:
        return CHAMPION.not_measured("the run holds no record of a challenge (evaluation/champion.json)")
    decision, told = champion["decision"], champion["told"]
    rule = "other settings replace the champion's only where the paired 95 % interval of their gain lies above " + (
        "0" if settings.challenger == "above" else f"-{settings.challenger_margin:g}"
    )
    if decision == "first":
        return CHAMPION.not_applicable(told)
    if decision == "continues":
        return CHAMPION.not_applicable(f"nothing was compared: {told}")
    if decision == "unreadable":
        return CHAMPION.not_measured(told)
    numbers = {name: champion.get(name) for name in ("gain", "low", "high", "n")}
    return CHAMPION.judged(decision != "refused", settings.champion, told, rule, **numbers)
