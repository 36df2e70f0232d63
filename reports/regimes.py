"""The market regime over time as a static picture and as a table of spells."""

from __future__ import annotations

from datetime import date

import polars as pl
from markupsafe import Markup

from reports.text import count, plain

GROUNDS = {"bull": "#dcefe3", "bear": "#f8dddb"}
"""Background of a regime; any other regime is left white. The names stand in the table too, never colour
alone."""

MOST_POINTS = 600


def spells(regimes: pl.DataFrame) -> pl.DataFrame:
    """Unbroken runs of one regime, oldest first: ``regime, first, last, days, change`` (of the level, a
    fraction).

    ``days`` counts the dates of the series. A spell's change is measured from the last level before it.
    """
    return (
        regimes.sort("date")
        .with_columns(pl.col("regime").rle_id().alias("_spell"), pl.col("level").shift(1).alias("_before"))
        .group_by("_spell")
        .agg(
            pl.col("regime").first(),
            pl.col("date").first().alias("first"),
            pl.col("date").last().alias("last"),
            pl.len().alias("days"),
            (pl.col("level").last() / pl.coalesce("_before", "level").first() - 1).alias("change"),
        )
        .sort("_spell")
        .drop("_spell")
    )


def regime_svg(regimes: pl.DataFrame) -> Markup:
    """The market level as a line over its regimes. Empty where there are fewer than two dates."""
    series = regimes.sort("date").drop_nulls("level")
    if series.height < 2:
        return Markup("")
    width, height, left, bottom, top = 900, 220, 52, 24, 10
    start: date = series["date"][0]
    end: date = series["date"][-1]
    levels = series["level"]
    low, high = float(levels.min()), float(levels.max())  # type: ignore[arg-type]
    reach = (high - low) or 1.0
    span = (end - start).days or 1

    def x(day: date) -> float:
        return round(left + (day - start).days / span * (width - left), 1)

    def y(level: float) -> float:
        return round(top + (high - level) / reach * (height - top - bottom), 1)

    found = spells(series)
    bands = [
        Markup('<rect x="{}" y="{}" width="{}" height="{}" fill="{}"><title>{}</title></rect>').format(
            x(spell["first"]),
            top,
            max(x(following) - x(spell["first"]), 0.5),
            height - top - bottom,
            GROUNDS[spell["regime"]],
            f"{spell['regime']}: {spell['first']} to {spell['last']}",
        )
        for spell, following in zip(found.iter_rows(named=True), [*found["first"].to_list()[1:], end], strict=True)
        if spell["regime"] in GROUNDS
    ]
    stride = -(-series.height // MOST_POINTS)
    row = pl.int_range(pl.len())
    drawn = series.filter((row % stride == 0) | (row == pl.len() - 1))
    points = " ".join(f"{x(day)},{y(level)}" for day, level in drawn.select("date", "level").iter_rows())
    text = Markup('<text x="{}" y="{}" fill="#4d5866" font-size="12" text-anchor="{}">{}</text>')
    places = 0 if reach >= 10 else 2
    labels = [
        text.format(left - 6, y(high) + 10, "end", f"{high:,.{places}f}"),
        text.format(left - 6, y(low), "end", f"{low:,.{places}f}"),
        text.format(left, height - 6, "start", str(start)),
        text.format(width, height - 6, "end", str(end)),
    ]
    title = f"Market level from {start} to {end}, {count(found.height)} regime spells"
    opening = Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" '
        'aria-labelledby="regime-title"><title id="regime-title">{t}</title>'
    ).format(w=width, h=height, t=plain(title))
    line = Markup('<polyline points="{}" fill="none" stroke="#1f5a8a" stroke-width="1.6"/>').format(points)
    return Markup("").join([opening, *bands, line, *labels, Markup("</svg>")])
