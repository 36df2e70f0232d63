"""What a contract is asked with: the night's day, its settings, the tables beside the one that is checked."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from data_contracts import columns as c
from data_contracts.coded_table import CodedTable
from data_contracts.releases import Release


@dataclass(frozen=True)
class CheckContext:
    """What a check may know besides the table.

    ``references``: accepted tables by name. ``previous_rows``: rows read of each table at the last publication.
    ``freshness_days``: oldest allowed age of the newest row. ``volume_change_limit``: largest relative change of a
    table's rows against the last publication (0.5 = half). ``price_jump_limit``: largest relative change between
    neighbouring closes. ``quarantine_limits``: share of quarantined rows, per table, above which the night stops.
    ``trade_price_tolerance``: largest relative distance of value / units from that day's close; ``amount_tolerance``:
    of units x price from value. ``previous_columns``: source columns of each table, with their kinds, at the last
    publication. ``releases``: rows that a steward let pass named rules. ``ask_library``: False leaves Great Expectations out and
    counts by Polars alone; for trials by the hundred, never for a night. ``run_id``: the run that makes the tables which are
    checked; empty outside of one. ``coded``: the checked table's texts as numbers, by row, of the columns that its contract
    names in ``coded`` (None: not numbered). ``previous_tables``: the last publication's accepted tables, as far as it still
    has them. ``capacity_bands``: the bands of investable money that the suitability rules know. ``kept``: the folder in
    which findings are kept for the next night (None: they are not). ``shared``: what several searches of one table work out
    alike (None: each for itself).
    """

    as_of: date
    references: Mapping[str, Path]
    previous_rows: Mapping[str, int]
    freshness_days: int
    volume_change_limit: float
    price_jump_limit: float
    quarantine_limits: Mapping[str, float]
    trade_price_tolerance: float = 0.25
    amount_tolerance: float = 0.05
    previous_columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    releases: tuple[Release, ...] = ()
    ask_library: bool = True
    run_id: str = ""
    coded: CodedTable | None = None
    previous_tables: Mapping[str, Path] = field(default_factory=dict)
    capacity_bands: tuple[str, ...] = c.CAPACITIES
    kept: Path | None = None
    shared: Shared | None = None

    @classmethod
    def by_default(cls, as_of: date, references: Mapping[str, Path] | None = None, run_id: str = "") -> CheckContext:
        """With the limits of the default settings, and no earlier publication to compare with."""
        return cls(
            as_of=as_of,
            references=references or {},
            previous_rows={},
            freshness_days=7,
            volume_change_limit=0.5,
            price_jump_limit=0.5,
            quarantine_limits={},
            run_id=run_id,
        )

    def once(self, key: tuple[Any, ...], table: pl.LazyFrame) -> pl.DataFrame:
        """``table`` collected, or what it was when a search of the same table first asked for the ``key``."""
        return table.collect() if self.shared is None else self.shared.collect(key, table)


class Shared:
    """Tables that several searches ask for, each collected once, whichever thread asks first."""

    def __init__(self) -> None:
        self._tables: dict[tuple[Any, ...], pl.DataFrame] = {}
        self._lock = threading.Lock()

    def collect(self, key: tuple[Any, ...], table: pl.LazyFrame) -> pl.DataFrame:
        """``table``, or what was collected for the ``key`` before."""
        with self._lock:
            if key not in self._tables:
                self._tables[key] = table.collect()
            return self._tables[key]
