"""Days from timestamps: the calendar day in the firm's time zone, not that of whoever wrote the file.

A trade at 22:30 UTC on Monday is a trade of Tuesday in Athens. A timestamp with a zone or an offset is converted; one
without is taken for the firm's own clock.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from data_contracts.landing.drift import SAMPLE

TIMESTAMP: Final = r"^\s*\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}"
_ZONED: Final = r"(Z|[+-]\d{2}:?\d{2})$"


def day_of_datetime(value: pl.Expr, dtype: pl.Datetime, time_zone: str) -> pl.Expr:
    """The day of a typed timestamp."""
    return (value if dtype.time_zone is None else value.dt.convert_time_zone(time_zone)).dt.date()


def day_of_text(value: pl.Expr, time_zone: str) -> pl.Expr:
    """The day of a text that is a day or a timestamp of ISO 8601; null where it is neither."""
    bare = value.str.strip_chars()
    zoned = bare.str.contains(_ZONED)
    at = pl.when(zoned).then(bare).str.replace("T", " ").str.replace("Z$", "+00:00")
    moments = [at.str.to_datetime(form, strict=False, time_zone="UTC", time_unit="us") for form in _forms("%#z")]
    local = pl.when(~zoned).then(bare).str.replace("T", " ")
    clocks = [local.str.to_datetime(form, strict=False, time_unit="us") for form in _forms("")]
    return pl.coalesce(
        bare.str.to_date("%Y-%m-%d", strict=False),
        pl.coalesce(moments).dt.convert_time_zone(time_zone).dt.date(),
        pl.coalesce(clocks).dt.date(),
    )


def unpadded(value: pl.Expr, *, moments: bool) -> pl.Expr:
    """Whether a text that was read as a day lacks a leading zero in its month or day: 2021-6-3, 2021-6-3 10:00.

    The year comes first, so it can only be one day; reading it as that is a repair, and counted as one. ``moments``: there are
    timestamps among the texts; else the length tells.
    """
    bare = value.str.strip_chars()
    if moments:
        return bare.str.contains(r"^\d{4}-(\d-|\d\d-\d([T ]|$))")
    return (bare.str.len_bytes() < len("YYYY-MM-DD")) & (bare.str.slice(4, 1) == "-")


def _forms(zone: str) -> list[str]:
    return [f"%Y-%m-%d %H:%M:%S%.f{zone}", f"%Y-%m-%d %H:%M{zone}"]


def has_timestamps(values: pl.LazyFrame) -> set[str]:
    """The columns of text among whose first values there are timestamps."""
    texts = [name for name, dtype in values.collect_schema().items() if dtype == pl.String()]
    if not texts:
        return set()
    sample = values.select(texts).head(SAMPLE).collect()
    return {name for name in texts if sample[name].str.contains(TIMESTAMP).fill_null(False).any()}
