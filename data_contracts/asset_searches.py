"""Searches for rows whose asset the other tables do not know as they should: never priced, or not listed yet.

Of trades and positions alike: columns asset_id, and of trades date.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from data_contracts import columns as c
from data_contracts.check_context import CheckContext
from data_contracts.contract import ROW, Detail, Search

_EMPTY = pl.Series(ROW, [], pl.get_index_type())
_FROM, _BEFORE = "_from", "_before"  # days on which a trade of the asset comes too early: _from <= day < _before
_LISTED = "_listed"  # the day that says so


def without_close(among: pl.Expr | None = None) -> Search:
    """Rows (of those that are ``among``) of an accepted asset that has not a single accepted close."""

    def search(rows: pl.LazyFrame, context: CheckContext) -> pl.Series | None:
        assets, prices = context.references.get("assets"), context.references.get("prices")
        if assets is None or prices is None:
            return None
        known, priced = (pl.scan_parquet(path).select(c.ASSET_ID).unique() for path in (assets, prices))
        unpriced = known.join(priced, on=c.ASSET_ID, how="anti").collect(engine="streaming")
        if unpriced.is_empty():  # the rule: no row is looked at
            return _EMPTY
        if among is None and context.coded is not None and c.ASSET_ID in context.coded:
            one = context.coded[c.ASSET_ID]
            bare = one.texts.is_in(unpriced[c.ASSET_ID].implode()).to_numpy()
            return pl.Series(ROW, one.rows_of(bare), pl.get_index_type())
        chosen = rows if among is None else rows.filter(among)
        found = chosen.select(ROW, c.ASSET_ID).join(unpriced.lazy(), on=c.ASSET_ID, how="semi")
        return found.select(pl.col(ROW).sort()).collect(engine="streaming")[ROW]

    return search


def before_listing(days: int) -> Search:
    """Trades more than ``days`` before their asset's first close, or before its first valid_from.

    Only of assets that came later than the table that says so: a table that begins on a day says nothing of the time before.
    A window row has no day of its own.
    """

    def search(rows: pl.LazyFrame, context: CheckContext) -> pl.Series | None:
        late = _late_assets(context, days)
        if late is None:
            return None
        if late.is_empty():
            return _EMPTY
        early = _early(rows, late.lazy())
        return early.select(pl.col(ROW).unique().sort()).collect(engine="streaming")[ROW]

    return search


def listing_detail(days: int) -> Detail:
    """The day that the trade comes before."""

    def detail(rows: pl.LazyFrame, shown: pl.Series, context: CheckContext) -> dict[int, str]:
        late = _late_assets(context, days)
        assert late is not None, "a rule that was not asked has no failing row"
        early = _early(rows.filter(pl.col(ROW).is_in(shown.implode())), late.lazy())
        return {row[ROW]: f"{row['_said']} {row[_LISTED]}" for row in early.collect().iter_rows(named=True)}

    return detail


def _early(rows: pl.LazyFrame, late: pl.LazyFrame) -> pl.LazyFrame:
    """[ROW, asset_id, date, _from, _before, _listed, _said] of the trades that come too early."""
    dated = rows.filter(pl.col(c.DATE_WINDOW_DAYS).fill_null(0) == 0).select(ROW, c.ASSET_ID, c.DATE)
    return dated.join(late, on=c.ASSET_ID, how="inner").filter(pl.col(c.DATE) >= pl.col(_FROM), pl.col(c.DATE) < pl.col(_BEFORE))


def _late_assets(context: CheckContext, days: int) -> pl.DataFrame | None:
    """[asset_id, _from, _before, _listed, _said] of the assets for which some day is too early; a row for each reason."""
    said = (("prices", c.DATE, "first close"), ("assets", c.VALID_FROM, "valid_from"))
    found = [_late(path, day, words, days) for table, day, words in said if (path := context.references.get(table)) is not None]
    return pl.concat(found) if found else None


def _late(path: Path, day: str, words: str, days: int) -> pl.DataFrame:
    table = pl.scan_parquet(path)
    if day not in table.collect_schema().names():
        return pl.DataFrame(
            schema={c.ASSET_ID: pl.String, _FROM: pl.Date, _BEFORE: pl.Date, _LISTED: pl.Date, "_said": pl.String}
        )
    first = table.group_by(c.ASSET_ID).agg(pl.col(day).min().alias(_LISTED)).collect(engine="streaming")
    return first.select(
        c.ASSET_ID,
        pl.col(_LISTED).min().alias(_FROM),
        (pl.col(_LISTED) - pl.duration(days=days)).alias(_BEFORE),
        _LISTED,
        pl.lit(words).alias("_said"),
    ).filter(pl.col(_BEFORE) > pl.col(_FROM))
