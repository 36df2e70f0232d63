"""Which columns are watched for drift, each with its method and threshold, pinned in one place.

Evidently would choose a method by sample size and type; a threshold that moves with the data is no
threshold, so each column names its own. Both methods used here are distances with a fixed scale:

- ``wasserstein`` (numbers): the earth mover's distance in units of the reference's standard deviation. 0.1
  means that the mass moved by a tenth of a standard deviation on average.
- ``jensenshannon`` (categories, a missing value being one): the Jensen-Shannon distance with the natural
  logarithm, 0 for equal and sqrt(ln 2) = 0.83 for disjoint distributions.

A drift is declared where the score is at or above the threshold. Source of the methods and of the 0.1
default: Evidently's documentation, "Data drift: methods".

Trades are recorded with gaps (a dated trade may have neither value nor units); ``value_known`` turns that
gap into a column, so that a feed that suddenly drops its amounts shows as drift although the amounts that
remain look the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Method = Literal["wasserstein", "jensenshannon"]


@dataclass(frozen=True)
class DriftColumn:
    """One watched column. ``threshold`` is in the method's own units; drifted means score >= threshold."""

    name: str
    method: Method
    threshold: float

    def __post_init__(self) -> None:
        if self.threshold <= 0:
            raise ValueError(f"drift threshold of {self.name!r} must be above 0, got {self.threshold}")


@dataclass(frozen=True)
class ColumnDrift:
    """What was found for one column. ``score`` is None where no distance could be computed, ``drifted`` is
    None where the column was not compared; ``note`` says why."""

    name: str
    method: str
    threshold: float
    score: float | None
    drifted: bool | None
    note: str = ""
    reference_null_share: float = 0.0
    current_null_share: float = 0.0


@dataclass(frozen=True)
class DriftVerdict:
    """One table compared with the same table of the previous publication."""

    table: str
    outcome: Literal["not_compared", "pass", "drift"]
    """``not_compared`` has its reason in ``note``; ``drift`` means the share of drifted columns reached
    ``drift_share``."""
    columns: tuple[ColumnDrift, ...]
    drift_share: float
    """Limit on drifted / compared columns."""
    drifted_share: float | None
    reference_rows: int
    current_rows: int
    reference_sampled: int
    current_sampled: int
    seed: int
    note: str = ""
    page: str = ""
    """File name of the detailed page beside the index; empty where there is none."""


TRADES: tuple[DriftColumn, ...] = (
    DriftColumn("side", "jensenshannon", 0.1),
    DriftColumn("asset_class", "jensenshannon", 0.1),
    DriftColumn("channel", "jensenshannon", 0.1),
    DriftColumn("record_kind", "jensenshannon", 0.1),
    DriftColumn("value_known", "jensenshannon", 0.1),
    DriftColumn("log_value", "wasserstein", 0.1),
    DriftColumn("days_before_as_of", "wasserstein", 0.1),
)

HOLDINGS: tuple[DriftColumn, ...] = (
    DriftColumn("status", "jensenshannon", 0.1),
    DriftColumn("asset_class", "jensenshannon", 0.1),
    DriftColumn("units_known", "jensenshannon", 0.1),
    DriftColumn("n_buys", "wasserstein", 0.1),
    DriftColumn("log_last_value", "wasserstein", 0.1),
)

RECOMMENDATIONS: tuple[DriftColumn, ...] = (
    DriftColumn("asset_id", "jensenshannon", 0.2),
    DriftColumn("asset_class", "jensenshannon", 0.1),
    DriftColumn("sector", "jensenshannon", 0.15),
    DriftColumn("score", "wasserstein", 0.25),
)

DEFAULT_DRIFT_SHARE = 0.5
"""Half of the compared columns."""

DEFAULT_SAMPLE = 50_000
"""Rows a side; Evidently needs 8-18 s for a million rows, 1-2 s for a hundred thousand."""


def feature_columns(names: tuple[str, ...], threshold: float = 0.1) -> tuple[DriftColumn, ...]:
    """One pinned column a numeric model feature: their names follow from the source, the method does not."""
    return tuple(DriftColumn(name, "wasserstein", threshold) for name in names)
