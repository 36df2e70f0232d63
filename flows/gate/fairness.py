"""Fairness: no segment of customers is clearly served less accurately, or less often, than the rest.

The limit is a ratio of four fifths by default (the "four-fifths rule" of the US Uniform Guidelines on Employee Selection
Procedures, 29 CFR 1607.4 D, taken over as a convention). A segment fails only where the upper end of its 95 % interval lies
below the limit: chance alone must not accuse. Segments smaller than ``gate.fairness_customers`` are not judged, and are named.
"""

from __future__ import annotations

from math import sqrt

import polars as pl

from flows.gate.finding import Finding, Subject
from flows.sections.gate import GateConfig
from reports.ranking import main_cutoff

KINDS = {"customer_type": "customer type", "risk_level": "risk level"}
ACCURACY = Subject(
    "fairness_accuracy",
    "Fairness: accuracy by segment",
    "fairness",
    "One group of customers is served clearly less accurately than the others.",
    "compliance officer",
    "Read the segment's rows under Accuracy; decide whether its recommendations may be used as the others' are.",
    "#ranking",
)
SERVED = Subject(
    "fairness_served",
    "Fairness: customers served by segment",
    "fairness",
    "One group of customers is given recommendations clearly less often than the others.",
    "compliance officer",
    "See which rule removes the segment's candidates, and whether that is what the rule is for.",
    "#exclusions",
)


def by_accuracy(metrics: pl.DataFrame, model: str, settings: GateConfig) -> Finding:
    """NDCG of each segment relative to all customers'; the upper bound must reach the limit."""
    k = main_cutoff(metrics)
    main = f"ndcg_at_{k}"
    rows = metrics.filter(pl.col("model") == model)
    overall = rows.filter(pl.col("segment_kind") == "all")[main][0]
    if not overall:
        return ACCURACY.not_measured("the model met nobody's purchases, so segments cannot be compared")
    segments = rows.filter(pl.col("segment_kind").is_in(list(KINDS))).select(
        "segment_kind",
        "segment",
        n="n_customers",
        ratio=pl.col(main) / overall,
        low=pl.col(f"{main}_low") / overall,
        high=pl.col(f"{main}_high") / overall,
    )
    return _judged(ACCURACY, segments, f"NDCG@{k} relative to all customers'", settings.fairness_accuracy, settings)


def by_served(customers: pl.DataFrame, served: pl.Series, settings: GateConfig) -> Finding:
    """Share of each segment's customers with a profile who were given anything, relative to all of theirs.

    ``customers`` has customer_id, has_profile, customer_type, risk_level; ``served`` the customer ids of the published file.
    The interval is Wilson's (1927) of the segment's share, divided by the share of all.
    """
    known = customers.filter("has_profile").with_columns(
        served=pl.col("customer_id").is_in(served.unique().implode()).cast(pl.Float64)
    )
    overall = known["served"].mean()
    if not isinstance(overall, float) or overall == 0:
        return SERVED.not_measured("nobody was served, so segments cannot be compared")
    parts = [
        known.group_by(pl.col(kind).cast(pl.String).fill_null("unknown").alias("segment"))
        .agg(n=pl.len(), share=pl.col("served").mean())
        .with_columns(segment_kind=pl.lit(kind))
        for kind in KINDS
    ]
    rows = [
        {
            "segment_kind": row["segment_kind"],
            "segment": row["segment"],
            "n": row["n"],
            "ratio": row["share"] / overall,
            **dict(zip(("low", "high"), (end / overall for end in wilson(row["share"], row["n"])), strict=True)),
        }
        for row in pl.concat(parts).sort("segment_kind", "segment").iter_rows(named=True)
    ]
    return _judged(SERVED, pl.DataFrame(rows), "share served relative to all customers'", settings.fairness_served, settings)


def wilson(share: float, n: int, z: float = 1.959964) -> tuple[float, float]:
    """The 95 % interval of a share of ``n``. Source: Wilson, J. Am. Stat. Assoc. 22 (1927)."""
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, centre - half), min(1.0, centre + half)


def _judged(about: Subject, segments: pl.DataFrame, of: str, act: str, settings: GateConfig) -> Finding:
    large = segments.filter((pl.col("n") >= settings.fairness_customers) & pl.col("high").is_not_null())
    small = segments.height - large.height
    left_out = f"; {small} segments with fewer than {settings.fairness_customers} customers are not judged" if small else ""
    if large.is_empty():
        return about.not_measured(f"no segment has {settings.fairness_customers} customers")
    worst = large.sort("ratio", "segment").row(0, named=True)
    failing = large.filter(pl.col("high") < settings.fairness_least).sort("ratio", "segment")
    named = failing.to_dicts() or [worst]
    said = ", ".join(
        f"{KINDS[row['segment_kind']]} {row['segment']} {row['ratio']:.2f} [{row['low']:.2f}, {row['high']:.2f}] (n {row['n']:,})"
        for row in named
    )
    return about.found(
        "pass" if failing.is_empty() else act,  # type: ignore[arg-type]
        f"{'below the limit' if not failing.is_empty() else 'least'}: {said}{left_out}",
        f"{of}: upper end of the 95 % interval at least {settings.fairness_least:g}",
        segments=large.sort("segment_kind", "segment").to_dicts(),
    )
