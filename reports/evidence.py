"""What the evidence pages are made of: one plain bundle of tables and values.

A run fills an :class:`Evidence` and hands it to :func:`reports.evidence_pack.write_evidence`. Nothing in it
is a model, a client or a path to be read later: what the pages say is what stands here.

No section is optional in silence. Where a run has nothing for a section it gives ``Absent("why")`` instead,
and the page prints the reason where the section would have been.

Every identifier of a customer in here must already be a pseudonym: the pages print what they are given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

import polars as pl

from reports.changes import Changes
from reports.drift_columns import DriftVerdict
from reports.faithfulness import FaithfulnessEvidence
from reports.model_card import ModelCard

Outcome = Literal["pass", "warn", "block", "not_measured", "not_applicable"]
"""How a check ended. ``warn``: published, and somebody should look. ``block``: not published. ``not_measured``: it ought to
have been made and was not, which is never a pass. ``not_applicable``: there was nothing to make it on, e.g. no earlier night."""

Facts = tuple[tuple[str, str], ...]
"""Pairs of a label and its value, in the order in which they are to be read."""


@dataclass(frozen=True)
class Absent:
    """Stands where a section would, and says why there is none."""

    reason: str


@dataclass(frozen=True)
class Check:
    """One line of the verdict: what was checked, against what, and what to do if it did not hold."""

    name: str
    outcome: Outcome
    measured: str
    """What was found, in words with the number and its unit, e.g. ``"0.134 against 0.071"``."""
    threshold: str
    """What had to hold, e.g. ``"above popularity"``."""
    remedy: str = ""
    """What a person should do; shown where the outcome is not ``pass``."""
    owner: str = ""
    link: str = ""
    """Where the details stand: a page (``contracts.html``) or an anchor of the index, which is a field's name of
    :class:`Evidence` (``#drift``, ``#ranking``)."""
    id: str = ""
    area: str = ""
    """One of :data:`AREAS`, by which the verdict groups its checks."""
    means: str = ""
    """What it means where the check does not hold, in words for somebody who knows no statistics."""


AREAS: Mapping[str, str] = {
    "data": "Data",
    "model": "Model",
    "explanation": "Explanations",
    "fairness": "Fairness",
    "suitability": "Suitability",
    "stability": "Stability",
}
"""Areas of the checks, in the order of the page."""


@dataclass(frozen=True)
class Verdict:
    """The first thing on the page. ``outcome`` is what the run decided, not something the page works out."""

    outcome: Outcome
    headline: str
    """One sentence, e.g. ``"Published: 2,941 customers were each given up to 10 recommendations."``"""
    checks: tuple[Check, ...] = ()
    publish: Literal["now", "after_approval", "never"] = "now"
    """``after_approval``: a person decides first. ``never``: the last good publication stays in force."""
    in_force: str = ""
    """The run whose recommendations are in force until this one's are, or where this one's are not published."""


@dataclass(frozen=True)
class RunFacts:
    """Which run this is."""

    run_id: str
    as_of: date
    started_at: datetime
    source: str
    """Where the data came from, in words (never a path of the machine), e.g. ``"simulated market, seed
    7"``."""
    source_format: str
    preset: str
    seed: int
    config_sha256: str
    code_version: str
    previous_run: str | Absent
    """The published run this one is compared with."""
    further: Facts = ()


@dataclass(frozen=True)
class Count:
    """A number that says how much work the run did."""

    label: str
    value: int
    note: str = ""


@dataclass(frozen=True)
class Protocol:
    """What stands beside every metric: without it a number means nothing."""

    split: str
    """E.g. ``"trained on trades up to 2020-12-31, scored on 2021-01-01 to 2021-06-30"``."""
    candidates: str
    """E.g. ``"all 780 assets the customer does not hold; no sampled negatives"``."""
    relevant: str
    """E.g. ``"assets bought for the first time in the scoring window"``."""
    population: str
    """E.g. ``"customers with at least one earlier buy and at least one relevant asset"``."""
    n_customers: int
    n_relevant: int
    n_items: int
    cutoff: int = 10


@dataclass(frozen=True)
class RankingEvidence:
    """How well the rankings meet what customers bought next."""

    protocol: Protocol
    summary: pl.DataFrame
    """What :func:`reports.ranking.summarise` returns, as it is."""
    served_model: str
    """The model whose recommendations are published (a value of the summary's ``model`` column)."""
    baseline: str = "popularity"


@dataclass(frozen=True)
class AttentionEvidence:
    """Attention of sample customers, one row a customer and holding (and candidate, if given).

    ``table`` columns: ``customer`` str (pseudonym), ``holding`` str (asset name or id), ``weight`` f64 in
    [0, 1]; optional ``candidate`` str (the recommendation the weight belongs to; weights are averaged over
    candidates in the picture). Weights of one customer and candidate sum to 1.
    """

    model: str
    table: pl.DataFrame
    how: str = "Mean over heads; several trades in one asset are summed."
    detail: pl.DataFrame | None = None
    """By layer and head and by regime, of the same customers: ``customer, holding, layer, head, regime`` (as it is, bull, bear),
    ``weight``; None: the model has no heads to show."""
    regimes: str = ""
    """How bull and bear came about, in words."""


@dataclass(frozen=True)
class ConsistencyEvidence:
    """Whether similar customers have similar attention; ``table`` as in the run's ``audit/consistency.parquet``."""

    table: pl.DataFrame
    how: str
    """Which model, which customers and how many permutations, in a sentence."""


@dataclass(frozen=True)
class TrainingEvidence:
    """One fit. ``curve`` columns: ``step`` i64, ``epoch`` i64, ``learning_rate`` f64, ``loss`` f64; no row: closed form.

    Optional: ``fit`` str (``final``, or ``validating`` for the fit that chose the number of epochs) and ``validation`` f64
    (NDCG@10 on the validation slice, at the last step of each epoch of the validating fit).
    """

    model: str
    curve: pl.DataFrame
    settings: Facts = ()


@dataclass(frozen=True)
class FileFact:
    """One file that went in or came out."""

    role: Literal["input", "output"]
    name: str
    """Relative to the source or to the run, never a path of the machine."""
    bytes: int
    sha256: str
    rows: int | None = None


@dataclass(frozen=True)
class Timing:
    """Wall time of one step in seconds; peak resident memory in MiB where it was measured."""

    step: str
    seconds: float
    peak_mib: float | None = None


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Everything the evidence pages of one run show. Lists its sections in the order of the page."""

    verdict: Verdict
    run: RunFacts
    counts: tuple[Count, ...]

    changes: Changes | Absent
    """Tonight beside the previous publication."""

    card: ModelCard | Absent
    register: pl.DataFrame | Absent
    """All models with their lineage, newest first: ``model_id, kind, run, status, trained_to, trained_on, parent,
    approval`` str, ``ndcg`` f64."""

    ranking: RankingEvidence | Absent
    sufficiency: pl.DataFrame | Absent
    """Interactions per customer by band, as :func:`reports.sufficiency.sufficiency` returns it."""

    contracts: tuple[Mapping[str, Any], ...] | Absent
    """The lists in ``contracts/verdicts.json`` and ``made.json``: one mapping a table, the fields of a TableVerdict."""
    reconciliation: pl.DataFrame | Absent
    """Derived against delivered holdings: ``kind`` str (what kind of difference), ``pairs`` i64 (customer
    and asset)."""

    recommendations: pl.DataFrame | Absent
    """Sample lines: ``customer`` str (pseudonym), ``rank`` i64, ``asset_id`` str, ``asset_name`` str,
    ``score`` f64, ``reason`` str (the sentence); optional ``profile`` str (shown beside the customer)."""
    exclusions: pl.DataFrame | Absent
    """Suitability rules: ``rule_id`` str, ``reason`` str (what it says), ``source`` str, ``effect`` str (exclude, flag, off),
    ``limits`` str (what it is set to), ``candidates`` i64 (customer and asset pairs removed by it), ``customers`` i64
    (customers it touched), ``flagged`` i64 (published rows it flagged), ``violations`` i64 (published rows that
    break it when other code asks it again)."""

    attention: AttentionEvidence | Absent
    ablation: pl.DataFrame | Absent
    """What the parts of the model are worth: as :func:`reports.ablation.ablation_table` returns it, with ``sample`` i64
    (customers learnt from) and ``epochs`` i64."""
    consistency: ConsistencyEvidence | Absent
    faithfulness: FaithfulnessEvidence | Absent
    training: tuple[TrainingEvidence, ...] | Absent

    drift: tuple[DriftVerdict, ...] | Absent

    regimes: pl.DataFrame | Absent
    """The market regime over time: ``date`` date, ``regime`` str (bull, bear, neutral), ``level`` f64
    (market index)."""

    files: tuple[FileFact, ...] | Absent
    timings: tuple[Timing, ...] | Absent
    config: Facts | Absent
    """Every setting and its value."""
    packages: Facts | Absent
    """Every package that matters and its version."""
