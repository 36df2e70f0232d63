"""Is there enough data? Interactions per customer against what such models need, and what accuracy each band reaches.

The yardstick: 50 to 100 interactions per customer at least, 500 preferred, 5,000 optimal.
"""

from __future__ import annotations

import polars as pl

from reports.ranking import HISTORY_BANDS, history_band

LEVELS: tuple[tuple[int, str], ...] = (
    (5000, "optimal"),
    (500, "preferred"),
    (100, "above the minimum"),
    (50, "minimum"),
    (0, "below the minimum"),
)
"""Least interactions of a customer, and how that counts."""


def level(least: int) -> str:
    """The level of a band that begins at ``least`` interactions."""
    return next(name for bound, name in LEVELS if least >= bound)


def sufficiency(lengths: pl.Series) -> pl.DataFrame:
    """Every band: ``band`` str, ``level`` str, ``customers`` i64, ``share`` f64 of the customers, ``interactions`` i64.

    ``lengths`` holds the interactions of each customer of the training set, those with none included.
    """
    counted = (
        pl.DataFrame({"length": lengths.cast(pl.Int64)})
        .group_by(history_band(pl.col("length")).alias("band"))
        .agg(customers=pl.len().cast(pl.Int64), interactions=pl.col("length").sum())
    )
    bands = pl.DataFrame(
        {"band": [name for name, _, _ in HISTORY_BANDS], "level": [level(least) for _, least, _ in HISTORY_BANDS]}
    )
    return (
        bands.join(counted, on="band", how="left", maintain_order="left")
        .with_columns(pl.col("customers", "interactions").fill_null(0))
        .select(
            "band",
            "level",
            "customers",
            pl.when(pl.lit(len(lengths) > 0)).then(pl.col("customers") / max(len(lengths), 1)).otherwise(0.0).alias("share"),
            "interactions",
        )
    )


def sentence(bands: pl.DataFrame) -> str:
    """What the table of :func:`sufficiency` comes down to."""

    def share(*levels: str) -> str:
        return f"{bands.filter(pl.col('level').is_in(levels))['share'].sum():.1%}".replace("%", " %")

    customers, interactions = int(bands["customers"].sum()), int(bands["interactions"].sum())
    mean = f"{interactions / customers:.1f}" if customers else "0"
    return (
        f"{mean} interactions per customer on average; {share('below the minimum')} of {customers:,} customers have fewer than "
        f"50 (the minimum is 50 to 100), {share('minimum', 'above the minimum')} have 50 to 499, "
        f"{share('preferred')} the preferred 500 and more, {share('optimal')} the optimal 5,000 and more"
    )


def accuracy_by_band(bands: pl.DataFrame, summary: pl.DataFrame, k: int) -> pl.DataFrame:
    """``bands`` with ``scored`` (customers of the band that were asked) and one column a model: its NDCG@k, null if none.

    ``summary`` is what :func:`reports.ranking.summarise` returns, with the segment kind ``history_length``.
    """
    by_band = summary.filter(pl.col("segment_kind") == "history_length")
    table = bands
    for place, model in enumerate(summary["model"].unique(maintain_order=True)):
        mine = by_band.filter(pl.col("model") == model).select(
            pl.col("segment").alias("band"), pl.col("n_customers").alias("scored"), pl.col(f"ndcg_at_{k}").alias(model)
        )
        table = table.join(mine if place == 0 else mine.drop("scored"), on="band", how="left", maintain_order="left")
    return table.with_columns(pl.col("scored").fill_null(0))
