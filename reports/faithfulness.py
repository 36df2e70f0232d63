"""The proof of the explanations, as the evidence page shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

METHODS: Mapping[str, str] = {
    "attention": "attention",
    "contribution": "contribution",
    "partial contribution": "contribution of holdings",
    "leave_one_out": "leave-one-out importance",
    "recent": "the most recent holdings",
    "random": "random holdings",
}
"""Methods as a page calls them."""


@dataclass(frozen=True)
class MethodVerdict:
    """One method at k = 1: erasing the holding that it names first against erasing a random one, paired by recommendation."""

    method: str
    n: int
    """Recommendations compared."""
    drop: float
    """Mean fall of the recommendation's log-probability without the holding named first, in nats."""
    drop_random: float
    difference: float
    low: float | None
    high: float | None
    """The 95 % bootstrap interval of the paired difference."""
    share_larger: float
    """Share of recommendations where erasing the named holding hurt more."""
    better_than_random: bool


@dataclass(frozen=True)
class FaithfulnessEvidence:
    """What was measured of the explanations.

    ``table``: ``method, measure, k, against, value, reference, difference, low, high, n_pairs, n_customers`` of
    ``recommendations/faithfulness.parquet``. ``planted``, on a simulated market: ``what, definition, method, named, low, high,
    chance, recent, over_chance_low, over_chance_high, n_pairs, n_customers``.
    """

    model: str
    published: str
    """The method that is published as the explanation."""
    own: str | None
    """What the model itself gives; None: no weight to any single holding."""
    verdicts: tuple[MethodVerdict, ...]
    table: pl.DataFrame
    changed_weights: str
    """Over what the fitted model's weights were shuffled (``holdings``, ``signals``), or why they were not."""
    planted: pl.DataFrame | None
    protocol: str

    @property
    def verdict(self) -> MethodVerdict:
        """That of the published method."""
        return next(verdict for verdict in self.verdicts if verdict.method == self.published)


def erasures(table: pl.DataFrame) -> list[tuple[str, list[dict[str, Any]]]]:
    """By method, a row for each k: what erasing and keeping it costs, and by how much that is better than random and recent.

    A row: ``k, n, comprehensiveness, sufficiency``, the latter two mappings ``value, random, recent`` where random and recent
    are rows of the table (difference, low, high, ...) or None.
    """
    found: list[tuple[str, list[dict[str, Any]]]] = []
    for (method,), rows in table.filter(pl.col("measure").is_in(["comprehensiveness", "sufficiency"])).group_by(
        "method", maintain_order=True
    ):
        lines: list[dict[str, Any]] = []
        for (k,), part in rows.group_by("k", maintain_order=True):
            line: dict[str, Any] = {"k": k, "n": part["n_pairs"].max()}
            for (measure,), pair in part.group_by("measure", maintain_order=True):
                against = {row["against"]: row for row in pair.iter_rows(named=True)}
                line[str(measure)] = {
                    "value": pair["value"][0],
                    "random": against.get("random"),
                    "recent": against.get("recent"),
                }
            lines.append(line)
        found.append((str(method), lines))
    return found


def lone(table: pl.DataFrame, measure: str, against: str = "") -> dict[str, Any] | None:
    """The one row of a measure that has no k; None where it was not measured or says nothing."""
    rows = table.filter((pl.col("measure") == measure) & (pl.col("against") == against))
    row = rows.row(0, named=True) if rows.height else None
    return row if row and row["value"] is not None else None
