"""The FAR-Trans temporal benchmark's own tables, split by split, as training sets and questions.

Layout: a folder with splits, training_interactions, test_interactions, eligible_customers, eligible_assets,
asset_returns (Parquet) and published_metrics.csv; beside it, or named separately, FAR-Trans itself (transactions, customer
information, closes), from which days and profiles come. Without it a purchase is dated by the split that first
knew it, and customers have no profile.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from data_contracts.errors import LandingError
from flows.market_features import encode
from lightning_modules.days import days_since_epoch
from lightning_modules.history_files import write_histories

TABLES = ("splits", "training_interactions", "test_interactions", "eligible_customers", "eligible_assets", "asset_returns")
UNKNOWN = "Not_Available"
NEAR = 12
"""Days that a close may lie from a split's end where the split's returns are not published."""
USUAL_STEP = 12.5
"""Days between two splits' time points, where only one is listed."""


@dataclass(frozen=True)
class Split:
    """One question of the benchmark: knowing what is dated before ``time_point``, what is bought up to ``test_end``?"""

    set: str
    number: int
    time_point: dt.date
    test_end: dt.date
    customers: tuple[str, ...]  # eligible, sorted
    assets: tuple[str, ...]  # eligible, sorted
    relevant: pl.DataFrame  # customerID, ISIN: test pairs of eligible customers and assets
    returns: dict[str, float]  # ISIN -> monthly return, where known: published, or where the split has none, from near closes
    training: pl.DataFrame  # customerID, ISIN, day (date of the first purchase, before time_point)


class FarTransBenchmark:
    """The tables of ``data``: the benchmark's folder, or one that holds it as ``far_trans_benchmark``.

    Raises:
        LandingError: a table is missing.
    """

    def __init__(self, data: Path, far_trans: Path | None = None) -> None:
        self.folder = data / "far_trans_benchmark" if (data / "far_trans_benchmark").is_dir() else data
        missing = [f"{name}.parquet" for name in TABLES if not (self.folder / f"{name}.parquet").is_file()]
        if missing:
            raise LandingError(
                f"{self.folder}: no {', '.join(missing)}",
                remedy="name the benchmark's folder with --data (splits.parquet and the tables beside it)",
            )
        beside = self.folder.parent / "far_trans"
        self.source = far_trans or (beside if beside.is_dir() else None)
        self.tables = {name: pl.read_parquet(self.folder / f"{name}.parquet") for name in TABLES}

    def splits(self, which: str) -> Iterator[Split]:
        """The splits of set "evaluation" or "validation", in time order."""
        rows = self.tables["splits"].filter(pl.col("set") == which).sort("split")
        for row in rows.iter_rows(named=True):
            yield self._split(which, row["split"], row["time_point"], row["test_end"])

    def _split(self, which: str, number: int, time_point: dt.date, test_end: dt.date) -> Split:
        def of(table: str) -> pl.DataFrame:
            return self.tables[table].filter((pl.col("set") == which) & (pl.col("split") == number))

        customers = of("eligible_customers").select("customerID").sort("customerID")
        assets = of("eligible_assets").select("ISIN").sort("ISIN")
        pairs = of("test_interactions").select("customerID", "ISIN")
        relevant = pairs.join(customers, on="customerID", how="semi").join(assets, on="ISIN", how="semi")
        return Split(
            which,
            number,
            time_point,
            test_end,
            tuple(customers["customerID"]),
            tuple(assets["ISIN"]),
            relevant.unique().sort("customerID", "ISIN"),
            dict(of("asset_returns").select("ISIN", "monthly_return").iter_rows())
            or self._near_returns(time_point, test_end, assets),
            self._training(which, number, time_point),
        )

    def _near_returns(self, time_point: dt.date, test_end: dt.date, assets: pl.DataFrame) -> dict[str, float]:
        """ISIN -> monthly return from the close nearest to ``time_point`` to the one nearest to ``test_end``, where both lie
        within ``NEAR`` days: what can be said of a split of which no return is published."""

        def nearest(day: dt.date) -> pl.DataFrame:
            away = (pl.col("date") - day).dt.total_days().abs()
            near = self.closes.with_columns(away=away).filter((pl.col("away") <= NEAR) & (pl.col("close") > 0))
            return near.sort("asset_id", "away", "date").unique("asset_id", keep="first", maintain_order=True)

        both = nearest(time_point).join(nearest(test_end), on="asset_id", suffix="_end")
        both = both.filter(pl.col("date_end") > pl.col("date")).join(assets, left_on="asset_id", right_on="ISIN", how="semi")
        days = (pl.col("date_end") - pl.col("date")).dt.total_days()
        return dict(both.select("asset_id", (pl.col("close_end") / pl.col("close")).pow(30 / days) - 1).iter_rows())

    def _training(self, which: str, number: int, time_point: dt.date) -> pl.DataFrame:
        """Each pair known before ``time_point``, dated: by its first dated purchase, else by the split that first knew it."""
        pairs = self.tables["training_interactions"].filter((pl.col("set") == which) & (pl.col("first_split") <= number))
        learnt = self._learnt_days(which)
        dated = pairs.join(learnt, on="first_split", how="left")
        dated = dated.join(self.first_purchases, on=["customerID", "ISIN"], how="left")
        known = pl.when(pl.col("bought") < time_point).then(pl.col("bought"))
        return dated.select("customerID", "ISIN", day=pl.coalesce(known, "learnt")).sort("customerID", "day", "ISIN")

    def _learnt_days(self, which: str) -> pl.DataFrame:
        """first_split, learnt: a day for the pairs that a split was the first to know, between its time point and the one before.

        The splits listed need not be all there are: between two listed ones time points are interpolated, before the first
        they go back by the usual step. Pairs of the very first split are stock, whatever their day.
        """
        splits = self.tables["splits"].filter(pl.col("set") == which).sort("split")
        numbers = splits["split"].to_numpy().astype(np.float64)
        points = splits["time_point"].dt.epoch("d").to_numpy().astype(np.float64)
        step = float(np.median(np.diff(points) / np.diff(numbers))) if len(points) > 1 else USUAL_STEP

        def time_points(asked: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
            earlier = points[0] - (numbers[0] - asked) * step
            return np.asarray(np.where(asked < numbers[0], earlier, np.interp(asked, numbers, points)), np.float64)

        of_set = self.tables["training_interactions"].filter(pl.col("set") == which)
        first = of_set["first_split"].unique().sort()
        asked = first.to_numpy().astype(np.float64)
        days = np.floor((time_points(asked) + time_points(asked - 1)) / 2)
        stock = days_since_epoch(self._first_day)
        days = np.maximum(np.where(asked == asked.min(), stock, days), stock)
        return pl.DataFrame({"first_split": first, "learnt": pl.Series(days.astype(np.int32)).cast(pl.Date)})

    @cached_property
    def _first_day(self) -> dt.date:
        first = self.first_purchases["bought"].min()
        return first if isinstance(first, dt.date) else dt.date(2018, 1, 2)

    @cached_property
    def first_purchases(self) -> pl.DataFrame:
        """customerID, ISIN, bought: a pair's earliest dated purchase; empty without FAR-Trans itself."""
        if self.source is None:
            return pl.DataFrame(schema={"customerID": pl.String, "ISIN": pl.String, "bought": pl.Date})
        trades = pl.read_csv(self.source / "transactions.csv.gz", schema_overrides={"ISIN": pl.String, "timestamp": pl.Date})
        buys = trades.filter(pl.col("transactionType") == "Buy")
        return buys.group_by("customerID", "ISIN").agg(bought=pl.col("timestamp").min())

    @cached_property
    def _profiles(self) -> pl.DataFrame:
        if self.source is None:
            names = ("customerID", "customer_type", "risk_level", "investment_capacity")
            return pl.DataFrame(schema={**dict.fromkeys(names, pl.String), "timestamp": pl.Date})
        rows = pl.read_csv(self.source / "customer_information.csv.gz", schema_overrides={"timestamp": pl.Date})
        return (
            rows.with_columns(pl.col("riskLevel", "investmentCapacity").replace(UNKNOWN, None))
            .select(
                "customerID",
                "timestamp",
                customer_type=pl.col("customerType"),
                # A predicted level is a level: the profile describes, it does not allow anything here.
                risk_level=pl.col("riskLevel").str.strip_prefix("Predicted_"),
                investment_capacity=pl.col("investmentCapacity").str.strip_prefix("Predicted_").str.strip_prefix("CAP_"),
            )
            .sort("customerID", "timestamp", maintain_order=True)
        )

    def write_training_set(self, split: Split, out: Path) -> Path:
        """The histories directory of ``split``: nothing in it is dated on its time point or later."""
        customers = split.training.select("customerID").unique().sort("customerID")
        known = set(split.training["ISIN"]) | set(split.assets)
        items = pl.DataFrame({"asset_id": sorted(known)})
        profiles = self._profiles.filter(pl.col("timestamp") < split.time_point).group_by("customerID").last()
        described = customers.join(profiles, on="customerID", how="left", maintain_order="left")
        features, names = encode(described, ("customer_type", "risk_level", "investment_capacity"), ())
        events = (
            split.training.join(items.select(ISIN="asset_id", item=pl.int_range(1, pl.len() + 1, dtype=pl.Int32)), on="ISIN")
            .join(customers.with_columns(customer=pl.int_range(pl.len(), dtype=pl.Int32)), on="customerID")
            .sort("customer", "day", "item")
            .select("customer", "item", day=pl.col("day").dt.epoch("d").cast(pl.Int32), weight=pl.lit(0.0), first=pl.lit(1))
        )
        counts = np.bincount(events["customer"].to_numpy(), minlength=customers.height)
        return write_histories(
            out,
            events.drop("customer").to_arrow(),
            np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            items.to_arrow(),
            customers.rename({"customerID": "customer_id"}).to_arrow(),
            np.zeros((items.height, 0), np.float32),
            [],
            features,
            names,
            split.time_point - dt.timedelta(days=1),
        )

    @cached_property
    def closes(self) -> pl.DataFrame:
        """asset_id, date, close; empty without FAR-Trans itself."""
        if self.source is None:
            return pl.DataFrame(schema={"asset_id": pl.String, "date": pl.Date, "close": pl.Float64})
        path = self.source / "close_prices.csv.gz"
        prices = pl.read_csv(path, schema_overrides={"ISIN": pl.String, "timestamp": pl.Date})
        return prices.select(asset_id="ISIN", date="timestamp", close=pl.col("closePrice").cast(pl.Float64)).sort(
            "asset_id", "date"
        )

    @cached_property
    def classes(self) -> dict[str, str]:
        """ISIN -> assetCategory; empty without FAR-Trans itself."""
        path = self.source / "asset_information.csv" if self.source else None
        if path is None or not path.is_file():
            return {}
        return dict(
            pl.read_csv(path).unique("ISIN", keep="first", maintain_order=True).select("ISIN", "assetCategory").iter_rows()
        )

    @cached_property
    def realised_windows(self) -> pl.DataFrame:
        """asset_id, start, end, monthly_return of every split of either set: known to whoever is asked after ``end`` only."""
        windows = self.tables["asset_returns"].join(self.tables["splits"], on=["set", "split"])
        named = windows.select(
            pl.col("ISIN").alias("asset_id"),
            pl.col("time_point").alias("start"),
            pl.col("test_end").alias("end"),
            "monthly_return",
        )
        return named.unique(["asset_id", "start", "end"]).sort("asset_id", "start", "end")

    @cached_property
    def published(self) -> pl.DataFrame:
        """model, split, ndcg_at_10, roi_at_10; empty where the file is not there."""
        path = self.folder / "published_metrics.csv"
        if not path.is_file():
            return pl.DataFrame(schema={"model": pl.String, "split": pl.Int64, "ndcg_at_10": pl.Float64, "roi_at_10": pl.Float64})
        return pl.read_csv(path).select("model", "split", "ndcg_at_10", "roi_at_10")


def row_of(split_customers: tuple[str, ...], histories_customers: list[str]) -> npt.NDArray[np.int64]:
    """Rows of ``split_customers`` in a training set's sorted customers.

    Raises:
        LandingError: one of them has no training pair; the protocol makes only customers with one eligible.
    """
    names, asked = np.array(histories_customers), np.array(split_customers)
    rows = np.searchsorted(names, asked).astype(np.int64)
    absent = asked[names[np.minimum(rows, len(names) - 1)] != asked]
    if len(absent):
        raise LandingError(
            f"eligible_customers.parquet: {len(absent)} of {len(asked)} customers have no pair in training_interactions",
            remedy="training_interactions must hold every pair from the first split on, also where splits.parquet lists fewer",
        )
    return rows
