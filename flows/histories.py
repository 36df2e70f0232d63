"""Step: histories. The snapshot as known on one day, turned into what the models learn from.

Called twice a night: at as_of minus the horizon (evaluation) and at as_of (publication). Nothing dated after the cut
is in the result, because every table is filtered by the cut before anything is derived from it.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import polars as pl

from data_contracts.coded import sorted_texts
from data_contracts.point_in_time import assert_point_in_time
from data_contracts.valid_at import valid_at
from flows.events import Events
from flows.kept_events import KeptEvents
from flows.market_features import encode, market_regime, price_features
from flows.market_states import market_states
from flows.purchases import purchases
from flows.sections.histories import HistoriesConfig
from lightning_modules.history_files import write_histories

ASSET_COLUMNS = (
    "asset_name",
    "asset_class",
    "asset_subclass",
    "sector",
    "market_id",
    "dividend_yield",
    "risk_class",
)
CUSTOMER_COLUMNS = ("customer_type", "risk_level", "risk_predicted", "investment_capacity", "capacity_predicted")


def build_histories(
    snapshot: Path, cut: date, settings: HistoriesConfig, as_of: date, out: Path, kept: Path | None = None
) -> Path:
    """Writes the histories directory of ``cut`` to ``out`` (format: :mod:`lightning_modules.history_files`).

    ``kept``: the folder in which events are kept for the next night; they come to the same bytes.
    Also ``regime.parquet`` (date, level, regime) and, in ``items.parquet``, the raw features beside each asset.
    Raises LookAheadError where a table of the snapshot holds a row dated after ``as_of``.
    """
    assert_point_in_time(snapshot / "transactions.parquet", "date", as_of)
    assert_point_in_time(snapshot / "prices.parquet", "date", as_of)
    assert_point_in_time(snapshot / "customers.parquet", "valid_from", as_of)
    assert_point_in_time(snapshot / "assets.parquet", "valid_from", as_of)
    prices = (
        pl.scan_parquet(snapshot / "prices.parquet").filter(pl.col("date") <= cut).select("asset_id", "date", "close").collect()
    )

    described = valid_at(snapshot / "assets.parquet", "asset_id", cut).select("asset_id", *ASSET_COLUMNS)
    profiles = valid_at(snapshot / "customers.parquet", "customer_id", cut).select("customer_id", *CUSTOMER_COLUMNS)
    transactions = snapshot / "transactions.parquet"
    keep = None if kept is None or not transactions.is_dir() else KeptEvents(kept, transactions, cut, (as_of - cut).days)
    known = (None if keep is None else keep.take()) or purchases(transactions, cut)
    asset_ids = sorted_texts(described.select("asset_id"), known.assets.to_frame().lazy(), prices.lazy().select("asset_id"))
    customer_ids = sorted_texts(profiles.select("customer_id"), known.customers.to_frame().lazy())
    events = known.events(customer_ids, asset_ids)
    items = _items(asset_ids, described, events, prices, cut, settings)
    customers = _customers(customer_ids, profiles, events)
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
    regimes = market_regime(prices, settings.regime_window_days, settings.regime_threshold, settings.price_stale_days)
    write_histories(
        out,
        events.table(),
        events.offsets,
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
    if keep is not None:
        keep.keep(out, events)
    return out


def _items(
    asset_ids: pl.Series, described: pl.LazyFrame, events: Events, prices: pl.DataFrame, cut: date, settings: HistoriesConfig
) -> pl.DataFrame:
    """Catalogue of the cut, sorted by asset_id: every asset described, bought or priced by then."""
    popularity = events.buyers(len(asset_ids), cut, settings.popularity_days)
    return (
        pl.DataFrame({"asset_id": asset_ids})
        .join(described.collect(), on="asset_id", how="left", maintain_order="left")
        # A trade can precede the asset's first description; its name is then its identifier.
        .with_columns(pl.col("asset_name").fill_null(pl.col("asset_id")))
        .join(
            price_features(prices, cut, settings.momentum_days, settings.price_stale_days),
            on="asset_id",
            how="left",
            maintain_order="left",
        )
        .with_columns(pl.Series(name, values) for name, values in popularity.items())
    )


def _customers(customer_ids: pl.Series, profiles: pl.LazyFrame, events: Events) -> pl.DataFrame:
    """Customers of the cut, sorted by customer_id: every one with a profile or a buy by then."""
    known = profiles.with_columns(has_profile=pl.lit(True)).collect()
    return (
        pl.DataFrame({"customer_id": customer_ids})
        .join(known, on="customer_id", how="left", maintain_order="left")
        .with_columns(
            pl.col("has_profile").fill_null(False),
            pl.col("customer_type").fill_null("not_available"),
            pl.col("risk_level").fill_null("not_available"),
            pl.col("risk_predicted").fill_null(False),
            pl.col("investment_capacity").fill_null("not_available"),
            pl.col("capacity_predicted").fill_null(False),
            pl.Series("n_buys", events.counts.astype(np.uint32)),
        )
    )
