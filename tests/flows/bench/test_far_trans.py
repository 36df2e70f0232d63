"""The benchmark's numbers by hand, on tables small enough to read, and against an independent script on the real ones."""

from __future__ import annotations

import datetime as dt
import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from data_contracts.errors import ConfigError, LandingError
from flows.bench.far_trans import kinds_of, walk_forward
from flows.bench.far_trans_data import FarTransBenchmark, Split, row_of
from flows.bench.far_trans_lists import list_metrics, paired_difference, per_split
from flows.dial import top_lists
from tests.conftest import real_data

DAY = dt.date(2020, 1, 1)


def split(**changes: object) -> Split:
    values: dict[str, object] = {
        "set": "evaluation",
        "number": 0,
        "time_point": DAY,
        "test_end": DAY,
        "customers": ("a", "b", "c"),
        "assets": ("P", "Q", "R", "S"),
        "relevant": pl.DataFrame({"customerID": ["a", "a", "b"], "ISIN": ["Q", "S", "P"]}),
        "returns": {"P": 0.02, "Q": -0.01},
        "training": pl.DataFrame(),
    }
    return Split(**{**values, **changes})  # type: ignore[arg-type]


def test_metrics_by_hand() -> None:
    lists = np.array([[0, 1, 2], [1, 0, -1], [2, 3, -1]])
    rows = list_metrics(np.pad(lists, ((0, 0), (0, 7)), constant_values=-1), ["P", "Q", "R", "S"], split())
    # a: Q at rank 2 of {Q, S}; b: P at rank 2 of {P}; c: nothing is relevant, so 0, and it stays in the mean.
    ideal = 1 + 1 / math.log2(3)
    assert rows["ndcg"].to_list() == pytest.approx([1 / math.log2(3) / ideal, 1 / math.log2(3), 0.0])
    assert rows["recall"].to_list() == [0.5, 1.0, 0.0]
    # Returns of R and S are unknown: c has none, a two of three.
    assert rows["roi"].to_list() == [pytest.approx(0.005), pytest.approx(0.005), None]
    assert rows["known"].to_list() == pytest.approx([2 / 3, 1.0, 0.0])


def test_lists_break_ties_by_column_and_leave_places_empty() -> None:
    scores = np.array([[1.0, 3.0, 3.0, 2.0]])
    allowed = np.array([[True, True, True, False]])
    assert top_lists(scores, allowed).tolist() == [[1, 2, 0] + [-1] * 7]


def test_paired_difference_weighs_splits_alike_and_draws_customers() -> None:
    rows = pl.DataFrame(
        {
            "model": ["x"] * 3 + ["y"] * 3,
            "split": [0, 0, 1] * 2,
            "customer": ["a", "b", "a"] * 2,
            "ndcg": [0.4, 0.2, 0.9, 0.1, 0.1, 0.5],
            "recall": [0.0] * 6,
            "roi": [None] * 6,
            "known": [0.0] * 6,
        },
        schema_overrides={"roi": pl.Float64},
    )
    mean, low, high = paired_difference(rows, "x", "y")
    assert mean == pytest.approx((0.2 + 0.4) / 2)
    assert low <= mean <= high
    assert per_split(rows).filter(pl.col("model") == "x")["ndcg"].to_list() == pytest.approx([0.3, 0.9])


def benchmark_folder(folder: Path) -> Path:
    """Two splits: 40 customers hold P; the even ones bought Q as well and buy R in the test, the odd ones buy S."""
    folder.mkdir()
    points = [dt.date(2020, 1, 1), dt.date(2020, 2, 1)]
    names = [f"c{number:02}" for number in range(40)]
    training = [("evaluation", 0, name, "P") for name in names] + [("evaluation", 1, name, "Q") for name in names[::2]]
    training += [("evaluation", 0, "other", "R"), ("evaluation", 0, "other", "Q"), ("evaluation", 0, "odd", "S")]
    test = [("evaluation", 1, name, "R" if number % 2 == 0 else "S") for number, name in enumerate(names)]
    test += [("evaluation", 0, name, "Q") for name in names[::2]]
    columns = ["set", "split", "customerID", "ISIN"]
    frame = pl.DataFrame(training, schema=["set", "first_split", "customerID", "ISIN"], orient="row")
    frame.write_parquet(folder / "training_interactions.parquet")
    pl.DataFrame(test, schema=columns, orient="row").write_parquet(folder / "test_interactions.parquet")
    eligible = [("evaluation", 0, name) for name in names[::2]] + [("evaluation", 1, name) for name in names]
    pl.DataFrame(eligible, schema=columns[:3], orient="row").write_parquet(folder / "eligible_customers.parquet")
    assets = [("evaluation", number, asset) for number in (0, 1) for asset in "PQRS"]
    pl.DataFrame(assets, schema=["set", "split", "ISIN"], orient="row").write_parquet(folder / "eligible_assets.parquet")
    returns = [("evaluation", 1, "R", 0.01, "published")]
    schema = ["set", "split", "ISIN", "monthly_return", "source"]
    pl.DataFrame(returns, schema=schema, orient="row").write_parquet(folder / "asset_returns.parquet")
    splits = [("evaluation", number, point, point + dt.timedelta(days=31)) for number, point in enumerate(points)]
    pl.DataFrame(splits, schema=["set", "split", "time_point", "test_end"], orient="row").write_parquet(folder / "splits.parquet")
    return folder


def test_a_walk_over_a_small_benchmark(tmp_path: Path) -> None:
    benchmark = FarTransBenchmark(benchmark_folder(tmp_path / "data"))
    second = list(benchmark.splits("evaluation"))[1]
    # Without FAR-Trans itself, what split 1 first knew is dated between the two time points, the rest on the first day.
    days = dict(second.training.filter(pl.col("customerID") == "c00").select("ISIN", "day").iter_rows())
    assert days == {"P": dt.date(2018, 1, 2), "Q": dt.date(2020, 1, 16)}
    walk = walk_forward(benchmark, "evaluation", ("popularity", "ease"), threads=1)
    assert per_split(walk.rows)["customers"].to_list() == [20, 40, 20, 40]
    popular = walk.lists.filter((pl.col("model") == "popularity") & (pl.col("split") == 1) & (pl.col("customer") == "c01"))
    assert popular["ISIN"].to_list() == ["Q", "R", "S"]  # 21 buyers, then one each by name
    assert per_split(walk.rows).filter((pl.col("model") == "ease") & (pl.col("split") == 0))["ndcg"].to_list() == [1.0]


def test_late_splits_alone_keep_every_earlier_pair_and_its_time(tmp_path: Path) -> None:
    folder = benchmark_folder(tmp_path / "data")
    splits = pl.read_parquet(folder / "splits.parquet")
    splits.filter(pl.col("split") == 1).with_columns(split=pl.lit(41)).write_parquet(folder / "splits.parquet")
    for name in ("test_interactions", "eligible_customers", "eligible_assets", "asset_returns"):
        table = pl.read_parquet(folder / f"{name}.parquet").filter(pl.col("split") == 1)
        table.with_columns(split=pl.lit(41)).write_parquet(folder / f"{name}.parquet")
    pairs = pl.read_parquet(folder / "training_interactions.parquet")
    pairs.with_columns(pl.col("first_split").replace({1: 40})).write_parquet(folder / "training_interactions.parquet")
    benchmark = FarTransBenchmark(folder)
    (late,) = benchmark.splits("evaluation")
    assert late.training.height == pairs.height
    days = dict(late.training.filter(pl.col("customerID") == "c00").select("ISIN", "day").iter_rows())
    # Split 40 lies 12.5 days before split 41 (2020-02-01), 39 as many before that: the pair lies between; stock stays stock.
    assert days == {"P": dt.date(2018, 1, 2), "Q": dt.date(2020, 1, 13)}
    assert per_split(walk_forward(benchmark, "evaluation", ("popularity",), threads=1).rows)["customers"].to_list() == [40]


def test_a_customer_without_training_pairs_is_refused_not_mistaken_for_another() -> None:
    assert row_of(("a", "c"), ["a", "b", "c"]).tolist() == [0, 2]
    with pytest.raises(LandingError, match="1 of 2 customers have no pair"):
        row_of(("a", "z"), ["a", "b", "c"])


def test_returns_of_ended_windows_and_of_near_closes(tmp_path: Path) -> None:
    benchmark = FarTransBenchmark(benchmark_folder(tmp_path / "data"))
    assert benchmark.realised_windows.rows() == [("R", dt.date(2020, 2, 1), dt.date(2020, 3, 3), 0.01)]
    assert benchmark.classes == {}
    first, second = benchmark.splits("evaluation")
    assert (first.returns, second.returns) == ({}, {"R": 0.01})
    # Of split 0 no return is published: a close two days from one end and three from the other tells it, a farther one does not.
    source = tmp_path / "source"
    source.mkdir()
    header, far = "ISIN,timestamp,closePrice\n", "Q,2019-12-01,1.0\nQ,2020-02-01,2.0\n"
    rows = "P,2019-12-30,1.0\nP,2019-12-25,9.0\nP,2020-01-29,1.21\nZ,2020-01-01,1\nZ,2020-02-01,2\n"
    (source / "close_prices.csv.gz").write_text(header + far + rows)
    (source / "transactions.csv.gz").write_text("customerID,ISIN,transactionType,timestamp\nc00,P,Buy,2019-12-01\n")
    (source / "asset_information.csv").write_text("ISIN,assetCategory\nP,Stock\nP,Bond\nQ,Bond\n")
    priced = FarTransBenchmark(benchmark.folder, source)
    assert next(priced.splits("evaluation")).returns == pytest.approx({"P": 0.21})
    assert priced.classes == {"P": "Stock", "Q": "Bond"}


def test_a_missing_table_and_an_unknown_model_are_named(tmp_path: Path) -> None:
    folder = benchmark_folder(tmp_path / "data")
    (folder / "splits.parquet").unlink()
    with pytest.raises(LandingError, match=r"no splits\.parquet"):
        FarTransBenchmark(folder)
    with pytest.raises(ConfigError, match="no such model: oracle"):
        kinds_of("ease, oracle")


def test_popularity_and_ease_equal_an_independent_script() -> None:
    folder = real_data("far_trans_benchmark")
    benchmark = FarTransBenchmark(folder)
    benchmark.tables["splits"] = benchmark.tables["splits"].filter((pl.col("set") == "validation") & (pl.col("split") < 2))
    ours = per_split(walk_forward(benchmark, "validation", ("popularity", "ease"), threads=1).rows)
    tables = {
        name: pl.read_parquet(folder / f"{name}.parquet").filter(pl.col("set") == "validation") for name in benchmark.tables
    }
    for number in range(2):
        train = tables["training_interactions"].filter(pl.col("first_split") <= number)
        assets = sorted({*train["ISIN"], *tables["eligible_assets"].filter(pl.col("split") == number)["ISIN"]})
        column = {asset: place for place, asset in enumerate(assets)}
        people = sorted(set(train["customerID"]))
        row = {name: place for place, name in enumerate(people)}
        held = np.zeros((len(people), len(assets)))
        held[[row[c] for c in train["customerID"]], [column[a] for a in train["ISIN"]]] = 1
        inverse = np.linalg.inv(held.T @ held + 100_000 * np.eye(len(assets)))
        weights = inverse / -np.diag(inverse)
        np.fill_diagonal(weights, 0)
        open_to_all = np.zeros(len(assets), bool)
        open_to_all[[column[a] for a in tables["eligible_assets"].filter(pl.col("split") == number)["ISIN"]]] = True
        wanted: dict[str, set[int]] = {}
        for person, asset in (
            tables["test_interactions"].filter(pl.col("split") == number).select("customerID", "ISIN").iter_rows()
        ):
            wanted.setdefault(person, set()).add(column.get(asset, -1))
        values: dict[str, list[float]] = {"popularity": [], "ease": []}
        for person in tables["eligible_customers"].filter(pl.col("split") == number)["customerID"]:
            mine = held[row[person]]
            right = {place for place in wanted[person] if place >= 0 and open_to_all[place]}
            for name, scores in (("popularity", held.sum(0)), ("ease", mine @ weights)):
                free = np.flatnonzero(open_to_all & (mine == 0))
                ranked = free[np.lexsort((free, -scores[free]))][:10].tolist()
                gain = sum(1 / math.log2(rank + 2) for rank, place in enumerate(ranked) if place in right)
                best = sum(1 / math.log2(rank + 2) for rank in range(min(10, len(right))))
                values[name].append(gain / best if right else 0.0)
        for name, found in values.items():
            told = ours.filter((pl.col("model") == name) & (pl.col("split") == number))["ndcg"][0]
            assert told == pytest.approx(np.mean(found), abs=2e-4)  # float32 scores may order a near tie otherwise
