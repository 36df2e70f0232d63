"""Searches for weekdays on which a whole market has no close: a run of them, the last ones, or too many altogether.

What every asset of a market lacks, no comparison with its other assets shows. So a market's days are held against its
weekdays: those that the markets table names, else those on which it usually has closes. No calendar of holidays is brought
in: a few missing weekdays are holidays, a longer run of them is a hole.

Only markets with closes on most of their weekdays are asked; a source with closes on few days has no holes.
"""

from __future__ import annotations

from datetime import date
from typing import Final, Literal

import polars as pl

from data_contracts import columns as c
from data_contracts.calendar import NO_MARKET, TRADED, days_of_closes, market_of_assets, open_weekdays
from data_contracts.check_context import CheckContext
from data_contracts.contract import ROW, Detail, Search

Hole = Literal["gap", "stale", "sparse"]

LEAST_DAYS: Final = 10  # trading days from which a market's habit can be told
LEAST_WEEKDAYS: Final = 60  # weekdays from which the share of missing ones can be told: a short stretch may be all holidays
SPARSE: Final = 0.15  # of the weekdays; holidays are 3 to 6 %, and up to 12 % of the three months around Easter
MOST_OF: Final = 0.5  # of its weekdays a market has closes on; of its most usual weekday's closes an open one has

_MARKET_DATE: Final = [c.MARKET_ID, c.DATE]


def market_holes(kind: Hole, most: int) -> Search:
    """One close for each hole of a market, the one that ``holes`` names."""

    def search(rows: pl.LazyFrame, context: CheckContext) -> pl.Series | None:
        found, markets = holes(rows, context, most), market_of_assets(context, NO_MARKET)
        if found is None or markets is None:
            return None
        days = found.filter(pl.col("kind") == kind).select(_MARKET_DATE)
        if days.is_empty():
            return pl.Series(ROW, [], pl.get_index_type())
        near = rows.filter(pl.col(c.DATE).is_in(days[c.DATE].unique().implode()), pl.col(c.CLOSE) > 0)
        closes = near.select(ROW, c.ASSET_ID, c.DATE).join(markets, on=c.ASSET_ID).join(days.lazy(), on=_MARKET_DATE)
        first = closes.group_by(_MARKET_DATE).agg(pl.col(ROW).min())
        return first.select(pl.col(ROW).sort()).collect(engine="streaming")[ROW]

    return search


def hole_detail(kind: Hole, most: int) -> Detail:
    """The market, and how many of its weekdays are missing."""

    def detail(rows: pl.LazyFrame, shown: pl.Series, context: CheckContext) -> dict[int, str]:
        found, markets = holes(rows, context, most), market_of_assets(context, NO_MARKET)
        assert found is not None, "a rule that was not asked has no failing row"
        assert markets is not None, "the holes are of markets"
        told = found.filter(pl.col("kind") == kind).lazy()
        closes = rows.filter(pl.col(ROW).is_in(shown.implode())).select(ROW, c.ASSET_ID, c.DATE).join(markets, on=c.ASSET_ID)
        return dict(closes.join(told, on=_MARKET_DATE).select(ROW, "said").collect().iter_rows())

    return detail


def holes(rows: pl.LazyFrame, context: CheckContext, most: int) -> pl.DataFrame | None:
    """[market_id, date, kind, said]: where a market lacks more than ``most`` weekdays in a row, or too many of them.

    gap: ``date`` is the first day after a run of so many weekdays on which the market did not trade. stale: the market's last
    trading day, and so many of its weekdays lie between it and the last trading day of any market. sparse: the market's last
    trading day, and of its weekdays more than SPARSE have no trading, such runs left out. None: no assets to tell markets by.
    """
    days = days_of_closes(rows, context)
    if days is None:
        return None
    traded = days.filter(TRADED).select(_MARKET_DATE).sort(_MARKET_DATE)
    usual = traded.group_by(c.MARKET_ID).agg(pl.len().alias("days"), pl.col(c.DATE).min().alias("first"))
    usual = usual.filter(pl.col("days") >= LEAST_DAYS)
    if usual.is_empty():
        return pl.DataFrame(schema={c.MARKET_ID: pl.String, c.DATE: pl.Date, "kind": pl.String, "said": pl.String})
    newest = traded[c.DATE].max()
    assert isinstance(newest, date)
    calendar = _calendar(usual, newest, _weekdays(traded, context))
    # Weekdays up to and including each trading day, and how many of them lie between it and the trading day before.
    placed = traded.join(usual.select(c.MARKET_ID), on=c.MARKET_ID, how="semi").sort(c.DATE)
    placed = placed.join_asof(calendar, on=c.DATE, by=c.MARKET_ID, check_sortedness=False).with_columns(
        pl.col("place").fill_null(0), (pl.col("weekday") == pl.col(c.DATE)).fill_null(False).alias("open")
    )
    placed = placed.sort(_MARKET_DATE).with_columns(
        (pl.col("place") - pl.col("open").cast(pl.Int64) - pl.col("place").shift().over(c.MARKET_ID)).alias("missing")
    )
    long = pl.col("missing") > most
    habit = placed.group_by(c.MARKET_ID).agg(
        pl.col(c.DATE).last(),
        pl.col("place").last(),
        pl.col("missing").filter(~long).sum().alias("few"),
        (pl.col("place").last() - pl.col("place").first() + 1 - pl.col("missing").filter(long).sum()).alias("weekdays"),
        (pl.col("place").last() - pl.col("place").first() + 1 - pl.col("missing").max()).alias("asked"),
        pl.col("open").sum().alias("kept"),
    )
    share = pl.col("few") / pl.col("weekdays")
    # One hole, however large, does not make a market one that trades now and then.
    habit = habit.filter(pl.col("kept") >= MOST_OF * pl.col("asked"))
    whole = calendar.group_by(c.MARKET_ID).agg(pl.col("place").max().alias("all"))
    ended = habit.join(whole, on=c.MARKET_ID).with_columns((pl.col("all") - pl.col("place")).alias("missing"))
    gaps = placed.filter(long).join(habit, on=c.MARKET_ID, how="semi")
    return pl.concat(
        [
            _said(gaps, "gap", pl.format("{}: {} weekdays before it without a close", c.MARKET_ID, "missing")),
            _said(ended.filter(long), "stale", pl.format("{}: {} weekdays after it without a close", c.MARKET_ID, "missing")),
            _said(
                habit.filter(pl.col("weekdays") >= LEAST_WEEKDAYS, share > SPARSE),
                "sparse",
                pl.format("{}: {} of {} weekdays without a close", c.MARKET_ID, "few", "weekdays"),
            ),
        ]
    ).sort(*_MARKET_DATE, "kind")


def _said(found: pl.DataFrame, kind: Hole, words: pl.Expr) -> pl.DataFrame:
    return found.select(*_MARKET_DATE, pl.lit(kind).alias("kind"), words.alias("said"))


def _weekdays(traded: pl.DataFrame, context: CheckContext) -> pl.DataFrame:
    """[market_id, weekday]: as the markets table says, else those on which the market has closes about as often as on any."""
    counted = traded.group_by(c.MARKET_ID, pl.col(c.DATE).dt.weekday().alias("weekday")).len()
    usual = counted.filter(pl.col("len") >= MOST_OF * pl.col("len").max().over(c.MARKET_ID)).select(c.MARKET_ID, "weekday")
    listed = open_weekdays(context)
    if listed is None:
        return usual
    named = listed.collect().unique()
    return pl.concat([named, usual.join(named, on=c.MARKET_ID, how="anti")])


def _calendar(usual: pl.DataFrame, newest: date, weekdays: pl.DataFrame) -> pl.DataFrame:
    """[market_id, date, weekday, place] of every weekday of each market from its first trading day to ``newest``, by date.

    ``weekday``: the date once more, which a join by the last weekday before a day keeps. ``place``: 1, 2, ... in a market.
    """
    spans = usual.select(c.MARKET_ID, pl.date_ranges("first", pl.lit(newest)).alias(c.DATE)).explode(c.DATE)
    days = spans.with_columns(pl.col(c.DATE).dt.weekday().alias("weekday")).join(
        weekdays, on=[c.MARKET_ID, "weekday"], how="semi"
    )
    days = days.sort(_MARKET_DATE).with_columns(
        pl.col(c.DATE).alias("weekday"), pl.int_range(1, pl.len() + 1).over(c.MARKET_ID).alias("place")
    )
    return days.sort(c.DATE)
