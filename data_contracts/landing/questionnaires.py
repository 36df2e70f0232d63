"""A questionnaire dated after as_of tells the past about its future: emptied in a replay with its answers, and counted.

Sources that keep only the newest date per customer rewrite old rows, so a row valid long before as_of may name a
questionnaire answered after it. In a replay (``withhold``) the date is unknown at as_of and becomes null, and so do the
risk level and the capacity of that row, which are what the questionnaire answered; in a night that expects a source cut
at as_of (``block``) they stay, and the contract's rule stops the night.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

import polars as pl

from data_contracts import columns as c
from data_contracts.landing.conform import FutureRows, Part
from data_contracts.landing.days import day_of_datetime, day_of_text
from data_contracts.landing.unreadable import readable


def without_look_ahead(
    parts: Sequence[Part], as_of: date, future_rows: FutureRows, placeholder: date | None = None, time_zone: str = "UTC"
) -> tuple[list[Part], tuple[str, ...]]:
    """The parts with such dates null, and notes that count them (among the rows that are read).

    ``placeholder``: a date by which the source means "not known"; it becomes null too.
    """
    future, unknown, changed = 0, 0, []
    for part in parts:
        if c.LAST_QUESTIONNAIRE_DATE not in part.values:
            changed.append(part)
            continue
        given = part.values[c.LAST_QUESTIONNAIRE_DATE]
        day, valid_from = _day(given, part, time_zone), _day(part.values[c.VALID_FROM], part, time_zone)
        is_future = (day > as_of).fill_null(False) if future_rows == "withhold" else pl.lit(False)
        is_unknown = (day == placeholder).fill_null(False) if placeholder is not None else pl.lit(False)
        read = (valid_from <= as_of).fill_null(True) if future_rows == "withhold" else pl.lit(True)
        marked = part.frame.select((is_future & read).sum().alias("f"), (is_unknown & read).sum().alias("u"))
        with readable(part.file.name):
            counts = marked.collect(engine="streaming")
        future, unknown = future + int(counts["f"][0]), unknown + int(counts["u"][0])
        emptied = pl.when(~(is_future | is_unknown)).then(given)
        answered = [name for name in (c.RISK_LEVEL, c.INVESTMENT_CAPACITY) if name in part.values]
        answers = {name: pl.when(~is_future).then(part.values[name]) for name in answered}
        changed.append(replace(part, values={**part.values, **answers, c.LAST_QUESTIONNAIRE_DATE: emptied}))
    notes = []
    if future:
        notes.append(
            f"{c.LAST_QUESTIONNAIRE_DATE}: {_dates(future)} after as_of {as_of} set to null (look-ahead), and the answers too"
        )
    if unknown:
        notes.append(f"{c.LAST_QUESTIONNAIRE_DATE}: {_dates(unknown)} of {placeholder} (not known) set to null")
    return changed, tuple(notes)


def _dates(count: int) -> str:
    return "1 date" if count == 1 else f"{count:,} dates"


def _day(value: pl.Expr, part: Part, time_zone: str) -> pl.Expr:
    """The value as a date, whatever the source's type; null where it is none."""
    found = part.frame.select(value.alias("day")).collect_schema()["day"]
    if found == pl.String():
        return day_of_text(value, time_zone)
    if isinstance(found, pl.Datetime):
        return day_of_datetime(value, found, time_zone)
    return value.cast(pl.Date) if found in (pl.Date(), pl.Null()) else pl.lit(None, dtype=pl.Date)
