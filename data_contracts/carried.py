"""A table of which the first rows were checked before, on another night: what was found of them, and what lies behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import polars as pl

from data_contracts.coded_table import CodedTable

if TYPE_CHECKING:
    from data_contracts.check_context import CheckContext


@dataclass(frozen=True)
class Carried:
    """Findings of the first ``rows`` rows, which are ``files`` whole files of the table.

    ``failed``: by rule, rows that broke it; ``among``: rows that can; ``hits``: rows (values of ROW) that its search found;
    ``newest``: the last day of any of them. ``coded``: their texts as numbers. ``same``: tables referred to that say the same
    of these rows as they did. ``later``: every row behind them is dated, and later than all of them.
    """

    rows: int
    files: int
    failed: Mapping[str, int]
    among: Mapping[str, int]
    hits: Mapping[str, pl.Series]
    newest: date | None
    coded: CodedTable
    same: frozenset[str]
    later: bool


@dataclass(frozen=True)
class Continued:
    """A table of which the first rows are known: ``rows`` all of it, ``fresh`` what lies behind, both with ROW."""

    rows: pl.LazyFrame
    fresh: pl.LazyFrame
    context: CheckContext
    carried: Carried

    def with_carried(self, rule_id: str, found: pl.Series) -> pl.Series:
        """The rows found before and those that ``found`` adds, in order."""
        return pl.concat([self.carried.hits[rule_id].cast(found.dtype), found]).unique().sort()
