"""What changed since the previous publication: counts side by side, settings, and how far each customer's list moved."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from reports.text import count


@dataclass(frozen=True)
class Change:
    """One line: a number or a word, before and now, as it is to be read."""

    label: str
    before: str
    now: str
    note: str = ""


@dataclass(frozen=True)
class Changes:
    """Tonight beside the previous publication of the same preset and source."""

    since: str
    """The run before."""
    counts: tuple[Change, ...]
    settings: tuple[Change, ...]
    """Settings that differ."""
    distances: npt.NDArray[np.float64]
    """[n] Jaccard distance of each customer's list to his list before; 0 the same assets, 1 none kept."""
    joined: int
    """Customers with a list now and none before."""
    left: int
    """Customers with a list before and none now."""


BINS = ("unchanged", "up to a quarter", "up to a half", "up to three quarters", "nearly all", "all of it")


def list_bins(distances: npt.NDArray[np.float64]) -> list[tuple[str, int]]:
    """How many customers' lists changed by how much: :data:`BINS` of the Jaccard distance, with their counts."""
    edges = (0.0, 0.25, 0.5, 0.75)
    bins = np.searchsorted(edges, distances, side="left")  # 0 -> 0, (0, 0.25] -> 1, ..., (0.75, 1] -> 4
    bins = np.where(distances >= 1.0, 5, bins)
    counts = np.bincount(bins, minlength=len(BINS))
    return [(name, int(n)) for name, n in zip(BINS, counts, strict=True)]


def lists_svg(distances: npt.NDArray[np.float64]) -> Markup:
    """Horizontal bars of :func:`list_bins`; empty where there is no customer. The numbers stand beside the bars."""
    bins, total = list_bins(distances), distances.size
    if not total:
        return Markup("")
    most = max(n for _, n in bins)
    label, bar, step = 190, 520, 26
    rows = [
        Markup(
            '<text x="{}" y="{}" text-anchor="end" font-size="14" fill="#1c2430">{}</text>'
            '<rect x="{}" y="{}" width="{}" height="16" fill="#1f5a8a"/>'
            '<text x="{}" y="{}" font-size="14" fill="#1c2430">{}</text>'
        ).format(
            label - 10,
            place * step + 17,
            name,
            label,
            place * step + 5,
            round(bar * n / most, 1) if n else 0,
            label + round(bar * n / most, 1) + 8,
            place * step + 17,
            f"{count(n)} ({n / total:.0%})",
        )
        for place, (name, n) in enumerate(bins)
    ]
    width, height = label + bar + 120, len(bins) * step + 6
    said = "Customers by how much of their list changed: " + "; ".join(f"{name}: {n}" for name, n in bins)
    start = Markup('<svg viewBox="0 0 {} {}" width="{}" height="{}" role="img" aria-label="{}">')
    return start.format(width, height, width, height, said) + Markup("").join(rows) + Markup("</svg>")
