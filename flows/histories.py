"""Step: histories. The snapshot as known on one day, turned into what the models learn from.

Called twice a night: at as_of minus the horizon (evaluation) and at as_of (publication). Nothing dated after the cut
is in the result, because every table is filtered by the cut before anything is derived from it.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import polars as pl

from data_contracts.point_in_time import assert_point_in_time
from data_contracts.transactions import last_possible_date
from data_contracts.valid_at import valid_at
from flows.market_features import encode, market_regime, popularity_features, price_features
from flows.market_states import market_states
from flows.sections.histories import HistoriesConfig
from lightning_modules.histories import write_histories

ASSET_COLUMNS = (
    "asset_name",
    "asset_class",
    "asset_subclass",
    "sector",
    "market_id",
    "dividend_yield",
    "risk_class",
)
CUSTOMER_COLUMNS = ("customer_type", "risk_level", "risk_predicted", "investment_capacity")


def build_histories(snapshot: Path, cut: date, settings: HistoriesConfig, as_of: date, out: Path) -> Path:
    """Writes the histories directory of ``cut`` to ``out`` (format: :mod:`lightning_modules.histories`).

    Also ``regime.parquet`` (date, level, regime) and, in ``items.parquet``, the raw features beside each asset.
    Raises LookAheadError where a table of the snapshot holds a row dated after ``as_of``.
    """
    assert_point_in_time(snapshot / "transactions.parquet", "date", as_of)
    assert_point_in_time(snapshot / "prices.parquet", "date", as_of)
    assert_point_in_time(snapshot / "customers.parquet", "valid_from", as_of)
    assert_point_in_time(snapshot / "assets.parquet", "valid_from", as_of)
    buys = (
        pl.scan_parquet(snapshot / "transactions.parquet")
        .filter((pl.col("side") == "buy") & (last_possible_date() <= cut))
        .select("customer_id", "asset_id", "date", "value", "_source_row")
        .collect()
    )
    prices = (
        pl.scan_parquet(snapshot / "prices.parquet").filter(pl.col("date") <= cut).select("asset_id", "date", "close").collect()
    )

    items = _items(snapshot, buys, prices, cut, settings)
    customers = _customers(snapshot, buys, cut)
    item_features, item_names = encode(
        items,
        ("asset_class", "asset_subclass", "sector", "market_id"),
        [
            name
            for name in items.columns
            if name in {"dividend_yield", "volatility", "risk_class"} or name.startswith(("momentum_", "buyers_"))
        ],
    )
    # Declared traits only: counts or recency of a customer's own buys, known at the cut, would tell a model in training
    # what happened after the purchase it is asked to predict.
    customer_features, customer_names = encode(customers, ("customer_type", "risk_level", "investment_capacity"), ())
    events = (
        buys.join(items.select("asset_id", item=pl.int_range(1, pl.len() + 1, dtype=pl.Int32)), on="asset_id")
        .join(customers.select("customer_id", customer=pl.int_range(pl.len(), dtype=pl.Int32)), on="customer_id")
        .sort("customer", "date", "_source_row")
        .with_columns(
            day=pl.col("date").to_physical().cast(pl.Int32),
            weight=pl.col("value").fill_null(0.0).log1p().cast(pl.Float32),
            first=pl.int_range(pl.len()).over("customer", "item") == 0,
        )
    )
    regimes = market_regime(prices, settings.regime_window_days, settings.regime_threshold, settings.price_stale_days)
    counts = np.bincount(events["customer"].to_numpy(), minlength=customers.height)
    write_histories(
        out,
        events.select("item", "day", "weight", "first").to_arrow(),
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        items.to_arrow(),
        customers.to_arrow(),
        item_features,
        item_names,
        customer_features,
        customer_names,
        cut,
        market_states(prices, regimes, items["asset_id"].to_list(), cut, settings.regime_window_days, settings.price_stale_days),
    )
    regimes.write_parquet(out / "regime.parquet")
    return out


def _items(snapshot: Path, buys: pl.DataFrame, prices: pl.DataFrame, cut: date, settings: HistoriesConfig) -> pl.DataFrame:
    """Catalogue of the cut, sorted by asset_id: every asset described, bought or priced by then."""
    described = valid_at(snapshot / "assets.parquet", "asset_id", cut).select("asset_id", *ASSET_COLUMNS).collect()
    known = pl.concat([described["asset_id"], buys["asset_id"], prices["asset_id"]]).unique().sort()
    return (
        pl.DataFrame({"asset_id": known})
        .join(described, on="asset_id", how="left")
        # A trade can precede the asset's first description; its name is then its identifier.
        .with_columns(pl.col("asset_name").fill_null(pl.col("asset_id")))
        .join(
            price_features(prices, cut, settings.momentum_days, settings.price_stale_days),
            on="asset_id",
            how="left",
        )
        .join(popularity_features(buys, cut, settings.popularity_days), on="asset_id", how="left")
        .with_columns(pl.col("^buyers_.*$").fill_null(0.0))
        .sort("asset_id")
    )


def _customers(snapshot: Path, buys: pl.DataFrame, cut: date) -> pl.DataFrame:
    """Customers of the cut, sorted by customer_id: every one with a profile or a buy by then."""
    profiles = (
        valid_at(snapshot / "customers.parquet", "customer_id", cut)
        .select("customer_id", *CUSTOMER_COLUMNS, has_profile=pl.lit(True))
        .collect()
    )
    known = pl.concat([profiles["customer_id"], buys["customer_id"]]).unique().sort()
    activity = buys.group_by("customer_id").agg(n_buys=pl.len())
    return (
        pl.DataFrame({"customer_id": known})
        .join(profiles, on="customer_id", how="left")
        .with_columns(
            pl.col("has_profile").fill_null(False),
            pl.col("customer_type").fill_null("not_available"),
            pl.col("risk_level").fill_null("not_available"),
            pl.col("risk_predicted").fill_null(False),
            pl.col("investment_capacity").fill_null("not_available"),
        )
        .join(activity, on="customer_id", how="left")
        .with_columns(pl.col("n_buys").fill_null(0))
        .sort("customer_id")
    )
