"""Searches in closes: outliers that revert, splits, other level shifts, and closes that are missing or stand still.

A jump is a close that differs from the asset's previous one, at most ``days`` earlier, by more than price_jump_limit;
the change is measured against the smaller of the two, so that a halving counts like a doubling. Closes further apart
are not compared: a source that has prices on some days only would otherwise be all jumps. Every jump is one of four:

* it reverts within a few closes: an outlier, and so are the closes up to the return;
* it stays, by a usual split ratio: a split, or a consolidation;
* it stays, by another ratio: a change of currency or of what is quoted, or a crash;
* too few closes follow to tell.
"""

from __future__ import annotations

from typing import Final, Literal

import polars as pl

from data_contracts import columns as c
from data_contracts.calendar import MARKET_DAY, TRADED, dated_closes, days_of_closes, market_of_assets, open_weekdays
from data_contracts.check_context import CheckContext
from data_contracts.contract import ROW, Detail, Search

Jump = Literal["outlier", "split", "level_shift", "undecided"]

SPLIT_RATIOS: Final = (2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 25, 30, 40, 50, 100)
SPLIT_TOLERANCE: Final = 0.03  # the asset also moves on the day it is split

_RATIO = "_ratio"  # of the close to the one before the jump
_BEFORE = "_before"  # that one


def _ratio(left: pl.Expr, right: pl.Expr) -> pl.Expr:
    return pl.max_horizontal(left, right) / pl.min_horizontal(left, right)


def classified_jumps(rows: pl.LazyFrame, context: CheckContext, days: int, closes: int) -> pl.LazyFrame:
    """[ROW, asset_id, date, close, _before, _ratio, jump] of every close that jumps or is part of an outlier.

    ``days``: closes at most so many days apart are neighbours. ``closes``: within so many closes an outlier reverts.
    """
    limit = 1.0 + context.price_jump_limit
    near_again = limit**0.5
    known = rows.filter(pl.col(c.CLOSE) > 0, pl.col(c.DATE).is_not_null(), pl.col(c.ASSET_ID).is_not_null())
    ordered = known.select(ROW, c.ASSET_ID, c.DATE, c.CLOSE).sort(c.ASSET_ID, c.DATE, ROW)
    close, previous = pl.col(c.CLOSE), pl.col(_BEFORE)
    same = pl.col(c.ASSET_ID) == pl.col(c.ASSET_ID).shift()
    gap = (pl.col(c.DATE) - pl.col(c.DATE).shift()).dt.total_days()
    ordered = ordered.with_columns(close.shift().alias(_BEFORE), (same & (gap <= days)).fill_null(False).alias("_near"))
    ordered = ordered.with_columns(_ratio(close, previous).alias(_RATIO))
    jump = pl.col("_near") & (pl.col(_RATIO) > limit)
    outliers, returns, chain, away = [], [], jump, jump
    for length in range(1, closes + 1):  # an outlier of so many closes begins at this one
        chain = chain & pl.col("_near").shift(-length, fill_value=False)
        back = _ratio(close.shift(-length), previous)
        begins = chain & away & (back <= near_again).fill_null(False)
        outliers += [begins.shift(place, fill_value=False) for place in range(length)]
        returns.append(begins.shift(length, fill_value=False))
        away = away & (back > limit).fill_null(False)
    ordered = ordered.with_columns(
        pl.any_horizontal(outliers).alias("_outlier"),
        (jump & ~pl.any_horizontal(returns)).alias("_jump"),
        (pl.col(c.ASSET_ID).shift(-closes) == pl.col(c.ASSET_ID)).fill_null(False).alias("_followed"),
    )
    split = pl.any_horizontal(((pl.col(_RATIO) / ratio - 1.0).abs() <= SPLIT_TOLERANCE) for ratio in SPLIT_RATIOS)
    kind = (
        pl.when("_outlier")
        .then(pl.lit("outlier"))
        .when(~pl.col("_followed"))
        .then(pl.lit("undecided"))
        .when(split)
        .then(pl.lit("split"))
        .otherwise(pl.lit("level_shift"))
    )
    found = ordered.filter(pl.col("_outlier") | pl.col("_jump"))
    return found.select(ROW, c.ASSET_ID, c.DATE, c.CLOSE, _BEFORE, _RATIO, kind.alias("jump"))


def price_jumps(kind: Jump, days: int, closes: int) -> Search:
    """Closes whose jump is of that kind."""

    def search(rows: pl.LazyFrame, context: CheckContext) -> pl.Series:
        found = context.once(("jumps", days, closes), classified_jumps(rows, context, days, closes))
        return found.filter(pl.col("jump") == kind)[ROW]

    return search


def jump_detail(days: int, closes: int) -> Detail:
    """By how much a close jumped, and from where."""

    def detail(rows: pl.LazyFrame, shown: pl.Series, context: CheckContext) -> dict[int, str]:
        assets = rows.filter(pl.col(ROW).is_in(shown.implode())).select(c.ASSET_ID).unique()
        near = rows.join(assets, on=c.ASSET_ID, how="semi")
        found = classified_jumps(near, context, days, closes).filter(pl.col(ROW).is_in(shown.implode())).collect()
        # The second close of an outlier has the first beside it, which says nothing: only a ratio that jumps is told.
        return {
            row[ROW]: f"{row[_RATIO]:.3g} times {'above' if row[c.CLOSE] > row[_BEFORE] else 'below'} {row[_BEFORE]:g}"
            for row in found.iter_rows(named=True)
            if row[_BEFORE] is not None and row[_RATIO] > 1.0 + context.price_jump_limit
        }

    return detail


def _with_market_days(rows: pl.LazyFrame, context: CheckContext) -> tuple[pl.LazyFrame, pl.LazyFrame] | None:
    """Closes with their market and its trading days [ROW, asset_id, date, market_id, ...] by asset and day; those days alone."""
    closes, found = dated_closes(rows, context), days_of_closes(rows, context)
    if closes is None or found is None:
        return None
    days = found.lazy()
    dated = closes.join(days, on=[c.MARKET_ID, c.DATE], how="inner").sort(c.ASSET_ID, c.DATE, ROW)
    return context.once(("dated closes",), dated).lazy(), days


def missing_closes(most: int) -> Search:
    """Closes before which the asset has none on more than ``most`` trading days of its market."""

    def search(rows: pl.LazyFrame, context: CheckContext) -> pl.Series | None:
        found = _with_market_days(rows, context)
        if found is None:
            return None
        ordered = found[0]
        same = pl.col(c.ASSET_ID) == pl.col(c.ASSET_ID).shift()
        between = pl.col(MARKET_DAY) - pl.col(TRADED).cast(pl.Int64) - pl.col(MARKET_DAY).shift()
        return ordered.filter((same & (between > most)).fill_null(False)).select(ROW).collect()[ROW]

    return search


def stale_closes(most: int) -> Search:
    """Newest closes after which the asset's market traded on more than ``most`` days up to as_of."""

    def search(rows: pl.LazyFrame, context: CheckContext) -> pl.Series | None:
        found = _with_market_days(rows, context)
        if found is None:
            return None
        closes, days = found
        last_day = days.group_by(c.MARKET_ID).agg(pl.col(MARKET_DAY).max().alias("_last_day"))
        newest = closes.group_by(c.ASSET_ID).agg(pl.col(ROW, c.MARKET_ID, MARKET_DAY).last())
        late = newest.join(last_day, on=c.MARKET_ID).filter(pl.col("_last_day") - pl.col(MARKET_DAY) > most)
        return late.select(pl.col(ROW).sort()).collect()[ROW]

    return search


def on_closed_weekday() -> Search:
    """Closes of a weekday on which the asset's market is closed."""

    def search(rows: pl.LazyFrame, context: CheckContext) -> pl.Series | None:
        markets, weekdays = market_of_assets(context), open_weekdays(context)
        if markets is None or weekdays is None:
            return None
        weekday = pl.col(c.DATE).dt.weekday().cast(pl.Int8).alias("weekday")
        dated = rows.filter(pl.col(c.DATE).is_not_null()).select(ROW, c.ASSET_ID, weekday)
        of_known = dated.join(markets, on=c.ASSET_ID).join(weekdays.select(c.MARKET_ID).unique(), on=c.MARKET_ID, how="semi")
        shut = of_known.join(weekdays, on=[c.MARKET_ID, "weekday"], how="anti")
        return shut.select(pl.col(ROW).sort()).collect(engine="streaming")[ROW]

    return search


def unchanged_closes(closes: int, days: int) -> Search:
    """Closes that equal the ``closes`` before them, neighbours at most ``days`` apart: one a run, the first too many."""

    def search(rows: pl.LazyFrame, context: CheckContext) -> pl.Series:
        known = rows.filter(pl.col(c.CLOSE) > 0, pl.col(c.DATE).is_not_null(), pl.col(c.ASSET_ID).is_not_null())
        single = known.select(ROW, c.ASSET_ID, c.DATE, c.CLOSE).sort(c.ASSET_ID, c.DATE, ROW)
        single = single.unique([c.ASSET_ID, c.DATE], keep="first", maintain_order=True)
        near = (pl.col(c.DATE) - pl.col(c.DATE).shift()).dt.total_days() <= days
        same = (pl.col(c.ASSET_ID) == pl.col(c.ASSET_ID).shift()) & (pl.col(c.CLOSE) == pl.col(c.CLOSE).shift()) & near
        place = pl.int_range(pl.len())
        begun = pl.when(~same.fill_null(False)).then(place).forward_fill()
        return single.filter(place - begun == closes).select(pl.col(ROW).sort()).collect()[ROW]

    return search
