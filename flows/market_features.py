"""Features of assets and customers and the market's regime, as known on one day.

Every function takes frames already cut at that day and is pure; :mod:`flows.histories` cuts, calls and writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def price_features(prices: pl.DataFrame, cut: date, momentum_days: Sequence[int], stale_days: int) -> pl.DataFrame:
    """Per asset: ``last_close`` (EUR), ``price_age`` (days), ``volatility`` (yearly), ``momentum_N`` (log return).

    Closes may be sparse. A return between two closes ``g`` days apart counts as variance over ``g`` days; a momentum
    is null where no close lies within ``stale_days`` before its start, or the newest close is stale itself.
    """
    ordered = prices.sort("asset_id", "date")
    out = ordered.group_by("asset_id", maintain_order=True).agg(
        pl.col("close").last().alias("last_close"),
        (pl.lit(cut) - pl.col("date").last()).dt.total_days().alias("price_age"),
    )
    year = ordered.filter(pl.col("date") > cut - timedelta(days=365)).with_columns(
        r=pl.col("close").log().diff().over("asset_id"),
        gap=pl.col("date").diff().dt.total_days().over("asset_id"),
    )
    volatility = (
        year.filter(pl.col("gap") > 0)
        .group_by("asset_id")
        .agg(n=pl.len(), variance=(pl.col("r") ** 2).sum() / pl.col("gap").sum())
        .filter(pl.col("n") >= 5)
        .select("asset_id", volatility=(pl.col("variance") * 365).sqrt())
    )
    out = out.join(volatility, on="asset_id", how="left")
    fresh = pl.when(pl.col("price_age") <= stale_days)
    for days in momentum_days:
        start = cut - timedelta(days=days)
        then = (
            ordered.filter(pl.col("date").is_between(start - timedelta(days=stale_days), start))
            .group_by("asset_id", maintain_order=True)
            .agg(pl.col("close").last().alias("then"))
        )
        out = (
            out.join(then, on="asset_id", how="left")
            .with_columns(fresh.then((pl.col("last_close") / pl.col("then")).log()).alias(f"momentum_{days}"))
            .drop("then")
        )
    return out.sort("asset_id")


def market_regime(prices: pl.DataFrame, window_days: int, threshold: float, stale_days: int) -> pl.DataFrame:
    """Columns date, level (index, 1.0 at the start), regime (bull, bear, neutral), one row a priced day.

    The level grows by the equal-weighted mean daily log return of the assets priced on that day. The regime of a day
    looks back only: its return over ``window_days`` above ``threshold`` is bull, below minus it is bear.
    """
    empty = pl.DataFrame(schema={"date": pl.Date, "level": pl.Float64, "regime": pl.String})
    if prices.is_empty():
        return empty
    rates = (
        prices.sort("asset_id", "date")
        .with_columns(
            r=pl.col("close").log().diff().over("asset_id"),
            gap=pl.col("date").diff().dt.total_days().over("asset_id"),
        )
        .filter(pl.col("gap").is_between(1, stale_days))
        # One wild quote must not become the market.
        .with_columns(rate=(pl.col("r") / pl.col("gap")).clip(-0.1, 0.1))
        .group_by("date")
        .agg(rate=pl.col("rate").mean())
        .sort("date")
    )
    if rates.is_empty():
        return empty
    level = rates.with_columns(
        days=pl.col("date").diff().dt.total_days().fill_null(1).clip(1, stale_days),
    ).select("date", level=(pl.col("rate") * pl.col("days")).cum_sum().exp())
    past = level.select(pl.col("date").alias("then"), pl.col("level").alias("past"))
    return (
        level.with_columns(start=pl.col("date") - pl.duration(days=window_days))
        .join_asof(past, left_on="start", right_on="then", strategy="backward")
        .with_columns(move=pl.col("level") / pl.col("past") - 1)
        .select(
            "date",
            "level",
            regime=pl.when(pl.col("move") > threshold)
            .then(pl.lit("bull"))
            .when(pl.col("move") < -threshold)
            .then(pl.lit("bear"))
            .otherwise(pl.lit("neutral")),
        )
    )


def encode(frame: pl.DataFrame, categories: Sequence[str], numbers: Sequence[str], most: int = 12) -> tuple[Floats, list[str]]:
    """Float matrix ``[rows, F]`` and its column names.

    Categories become one column for each of their ``most`` commonest values (ties by name). Numbers are standardised
    over the known values; an unknown one becomes 0 (the mean) and sets its column ``NAME?`` to 1.
    """
    columns: list[Floats] = []
    names: list[str] = []
    for name in categories:
        counts = frame[name].drop_nulls().value_counts().sort(["count", name], descending=[True, False])
        for value in counts[name].head(most):
            columns.append((frame[name] == value).fill_null(False).to_numpy().astype(np.float32))
            names.append(f"{name}={value}")
    for name in numbers:
        values = frame[name].cast(pl.Float64).to_numpy().astype(np.float64)
        known = np.isfinite(values)
        if not known.any():
            continue
        mean, spread = values[known].mean(), values[known].std()
        scaled = np.where(known, (np.where(known, values, mean) - mean) / (spread if spread > 1e-12 else 1.0), 0.0)
        columns.append(np.clip(scaled, -5, 5).astype(np.float32))
        names.append(name)
        if not known.all():
            columns.append((~known).astype(np.float32))
            names.append(f"{name}?")
    if not columns:
        return np.zeros((frame.height, 0), np.float32), names
    return np.ascontiguousarray(np.stack(columns, axis=1)), names
