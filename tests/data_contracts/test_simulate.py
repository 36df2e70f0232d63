"""The simulated market as a source: its settings, its files, and that its tables are what they claim to be."""

from __future__ import annotations

import datetime as dt
import errno
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from data_contracts import (
    assets,
    customers,
    delivered_holdings,
    markets,
    prices,
    restricted,
    simulate,
    transactions,
)
from data_contracts.contract import Contract
from data_contracts.errors import ConfigError, StorageError
from data_contracts.isin import valid_isin
from data_contracts.simulate import MarketSettings, simulate_market
from data_contracts.simulate_draws import ChoiceTable, normals, uniforms
from data_contracts.simulate_names import isin_check_digit

SMALL = MarketSettings(customers=200, assets=60, years=1.0, trades_per_customer=10.0, seed=7)
TABLES = (
    "customers",
    "assets",
    "prices",
    "transactions",
    "holdings",
    "restricted",
    "markets",
    "truth/purchases",
    "truth/tastes",
    "truth/companions",
    "truth/regimes",
    "truth/assets",
)


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default market, 3,000 customers."""
    return simulate_market(tmp_path_factory.mktemp("simulated") / "market", MarketSettings())


def table(root: Path, name: str) -> pl.DataFrame:
    return pl.read_parquet(root / f"{name}.parquet")


# Settings and files


def test_the_same_settings_give_the_same_bytes_and_another_seed_another_market(tmp_path: Path) -> None:
    once = simulate_market(tmp_path / "once", SMALL)
    again = simulate_market(tmp_path / "again", SMALL)
    other = simulate_market(
        tmp_path / "other",
        MarketSettings(customers=200, assets=60, years=1.0, trades_per_customer=10.0, seed=8),
    )
    files = sorted(path.relative_to(once) for path in once.rglob("*") if path.is_file())
    assert {path.as_posix() for path in files if path.suffix == ".parquet"} == {f"{name}.parquet" for name in TABLES}
    for path in files:
        assert (once / path).read_bytes() == (again / path).read_bytes(), path
    assert not table(once, "transactions").equals(table(other, "transactions"))
    assert not table(once, "prices").equals(table(other, "prices"))


@pytest.mark.parametrize("customers_per_chunk", [1, 37, 199])
def test_the_chunk_size_changes_no_row(tmp_path: Path, customers_per_chunk: int) -> None:
    whole = simulate_market(tmp_path / "whole", SMALL)
    pieces = simulate_market(tmp_path / "pieces", SMALL, cells_per_chunk=SMALL.assets * customers_per_chunk)
    for name in TABLES:
        assert_frame_equal(table(whole, name), table(pieces, name), check_exact=True)


def test_a_small_market_is_the_beginning_of_a_larger_one(tmp_path: Path) -> None:
    small = simulate_market(tmp_path / "small", SMALL)
    large = simulate_market(
        tmp_path / "large",
        MarketSettings(customers=300, assets=60, years=1.0, trades_per_customer=10.0, seed=7),
    )
    for name in ("customers", "transactions", "holdings", "truth/purchases"):
        beginning = table(large, name).filter(pl.col("customer_id") <= "C0000200")
        assert_frame_equal(table(small, name), beginning, check_exact=True)
    assert_frame_equal(table(small, "prices"), table(large, "prices"), check_exact=True)


@pytest.mark.parametrize(
    ("field", "value", "remedy"),
    [
        ("customers", 199, "set customers to a value from 200 to 1e+06"),
        ("customers", 1_000_001, "set customers to a value from 200 to 1e+06"),
        ("assets", 59, "set assets to a value from 60 to 5000"),
        ("years", 0.5, "set years to a value from 1 to 20"),
        ("years", float("nan"), "set years to a value from 1 to 20"),
        ("seed", -1, "set seed to a value from 0 to 4.61169e+18"),
        ("trades_per_customer", 1.0, "set trades_per_customer to a value from 2 to 200"),
        ("as_of", dt.date(1999, 12, 31), "set as_of to a date from 2000-01-01 to 2100-01-01"),
    ],
)
def test_a_setting_out_of_bounds_is_refused_by_name(field: str, value: object, remedy: str) -> None:
    with pytest.raises(ConfigError) as caught:
        MarketSettings(**{field: value})  # type: ignore[arg-type]
    assert str(caught.value) == f"simulated market: {field} = {value} is out of bounds\n  remedy: {remedy}"


def test_the_largest_and_the_smallest_settings_are_accepted() -> None:
    MarketSettings(customers=1_000_000, assets=5_000, years=20.0, trades_per_customer=200.0)
    MarketSettings(customers=200, assets=60, years=1.0, trades_per_customer=2.0)


def test_prices_end_on_the_last_business_day_before_a_weekend_as_of(tmp_path: Path) -> None:
    sunday = dt.date(2023, 1, 1)
    settings = MarketSettings(customers=200, assets=60, years=1.0, as_of=sunday, trades_per_customer=3.0)
    root = simulate_market(tmp_path / "market", settings)
    days = table(root, "prices")["date"]
    assert days.max() == dt.date(2022, 12, 30)
    assert days.dt.weekday().max() == 5
    assert table(root, "holdings")["as_of_date"].unique().to_list() == [dt.date(2022, 12, 30)]


def test_a_market_that_is_there_already_is_left_alone(tmp_path: Path) -> None:
    root = simulate_market(tmp_path / "market", SMALL)
    before = (root / "transactions.parquet").stat().st_mtime_ns
    assert simulate_market(root, SMALL) == root
    assert (root / "transactions.parquet").stat().st_mtime_ns == before
    assert json.loads((root / "market.json").read_text(encoding="utf-8"))["as_of"] == "2024-06-28"


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "market").mkdir()
    assert (simulate_market(tmp_path / "market", SMALL) / "market.json").is_file()


def test_another_markets_folder_is_refused_and_kept(tmp_path: Path) -> None:
    root = simulate_market(tmp_path / "market", SMALL)
    with pytest.raises(StorageError) as caught:
        simulate_market(root, MarketSettings())
    assert str(caught.value) == (
        f"{root} exists and does not hold the simulated market that was asked for\n"
        "  remedy: name another folder, or remove this one if nothing in it is needed"
    )
    assert len(table(root, "customers").select("customer_id").unique()) == 200


def test_a_folder_with_something_else_in_it_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep", encoding="utf-8")
    with pytest.raises(StorageError, match="does not hold the simulated market"):
        simulate_market(tmp_path / "mine", SMALL)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder", encoding="utf-8")
    with pytest.raises(StorageError) as caught:
        simulate_market(tmp_path / "file" / "market", SMALL)
    assert str(caught.value).startswith(f"cannot write the simulated market to {tmp_path / 'file' / 'market'}: ")
    assert "remedy: check that the disk has room" in str(caught.value)


def test_a_disk_that_fills_up_half_way_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(simulate, "draw_trades", full)  # by then assets and prices have been written
    with pytest.raises(StorageError, match="No space left on device"):
        simulate_market(tmp_path / "market", SMALL)
    assert list(tmp_path.iterdir()) == []


# The tables


@pytest.mark.parametrize(
    ("name", "contract"),
    [
        ("customers", customers.CONTRACT),
        ("assets", assets.CONTRACT),
        ("prices", prices.CONTRACT),
        ("transactions", transactions.CONTRACT),
        ("holdings", delivered_holdings.CONTRACT),
        ("restricted", restricted.CONTRACT),
        ("markets", markets.CONTRACT),
    ],
)
def test_columns_types_and_keys_are_the_contracts(market: Path, name: str, contract: Contract) -> None:
    frame = table(market, name)
    # The columns that the market leaves out: the price of a trade, which is that day's close, and the issuer, told by the name.
    assert dict(frame.schema) == {
        column.name: column.dtype for column in contract.columns if column.name not in ("price", "issuer")
    }
    nulls = {column.name for column in contract.columns if not column.nullable and frame[column.name].has_nulls()}
    assert nulls == set()
    assert not frame.select(contract.key).is_duplicated().any()


def test_isins_are_valid_and_names_are_different(market: Path, tmp_path: Path) -> None:
    assert isin_check_digit(["US037833100", "GB000263494", "AU0000XVGZA"]) == [5, 6, 3]
    assert table(market, "assets").select(valid_isin("asset_id").all()).item()
    many = MarketSettings(customers=200, assets=1_200, years=1.0, trades_per_customer=2.0)
    catalogue = table(simulate_market(tmp_path / "many", many), "assets").unique("asset_id")
    assert len(catalogue) == catalogue["asset_name"].n_unique() == catalogue["asset_short_name"].n_unique() == 1_200


def test_every_reference_is_known_and_nothing_is_dated_after_as_of(market: Path) -> None:
    trades, as_of = table(market, "transactions"), MarketSettings().as_of
    assert set(trades["asset_id"]) <= set(table(market, "assets")["asset_id"])
    assert set(trades["customer_id"]) <= set(table(market, "customers")["customer_id"])
    assert set(trades["market_id"]) <= set(table(market, "markets")["market_id"])
    for name, column in [("prices", "date"), ("transactions", "date"), ("customers", "valid_from")]:
        assert table(market, name)[column].max() <= as_of  # type: ignore[operator]
    people = table(market, "customers")
    assert (people["last_questionnaire_date"].drop_nulls() <= as_of).all()
    assert people.filter(pl.col("last_questionnaire_date") > pl.col("valid_from")).is_empty()
    joined = trades.join(people.group_by("customer_id").agg(pl.col("valid_from").min()), on="customer_id")
    assert joined.filter(pl.col("date") < pl.col("valid_from")).is_empty()


def test_value_is_units_times_that_days_close(market: Path) -> None:
    trades = table(market, "transactions").join(table(market, "prices"), on=["asset_id", "date"], how="left")
    assert not trades["close"].has_nulls()
    assert (trades["value"] == trades["units"] * trades["close"]).all()
    assert (trades["units"] > 0).all()


def test_no_sale_exceeds_what_is_held_and_the_delivered_holdings_are_what_is_left(market: Path) -> None:
    signed = pl.when(pl.col("side") == "buy").then("units").otherwise(-pl.col("units"))
    trades = table(market, "transactions").with_columns(
        signed.cum_sum().over("customer_id", "asset_id").alias("net"),
        pl.col("date").diff().dt.total_days().over("customer_id").fill_null(0).alias("step"),
    )
    assert trades["step"].min() == 0  # a customer's rows are in time order
    assert trades.filter(pl.col("net") < -1e-9).is_empty()
    left = trades.group_by("customer_id", "asset_id").agg(pl.col("net").last()).filter(pl.col("net") > 1e-9)
    both = left.join(table(market, "holdings"), on=["customer_id", "asset_id"], how="full")
    assert both.filter(pl.col("net").is_null() | pl.col("units").is_null()).is_empty()
    assert (both["net"] - both["units"]).abs().max() < 1e-9  # type: ignore[operator]


def test_shares_of_sales_cold_customers_and_profiles(market: Path) -> None:
    trades, people = table(market, "transactions"), table(market, "customers")
    newest = people.sort("valid_from").unique("customer_id", keep="last")
    assert len(newest) == 3_000
    assert 0.12 < (trades["side"] == "sell").mean() < 0.18  # type: ignore[operator]
    assert 18 < len(trades.filter(pl.col("side") == "buy")) / 3_000 < 22
    assert 0.01 < 1 - trades["customer_id"].n_unique() / 3_000 < 0.03
    assert 0.004 < (newest["risk_level"] == "not_available").mean() < 0.02  # type: ignore[operator]
    assert 0.04 < len(people) / 3_000 - 1 < 0.08
    assert newest["risk_level"].n_unique() == 5
    assert newest["customer_type"].n_unique() == 5


def test_purchases_mostly_respect_the_risk_profile_of_their_day(market: Path) -> None:
    limit = {"conservative": 1, "income": 2, "balanced": 3, "aggressive": 4}
    buys = (
        table(market, "transactions")
        .filter(pl.col("side") == "buy")
        .sort("date")
        .join_asof(
            table(market, "customers").sort("valid_from"),
            left_on="date",
            right_on="valid_from",
            by="customer_id",
            check_sortedness=False,
        )
        .filter(pl.col("risk_level") != "not_available")
        .join(table(market, "assets").unique("asset_id").select("asset_id", "risk_class"), on="asset_id")
    )
    within = buys["risk_class"] <= buys["risk_level"].replace_strict(limit)
    assert 0.95 < within.mean() < 1.0  # type: ignore[operator]


def test_some_assets_come_some_go_and_each_risk_class_is_there(market: Path) -> None:
    catalogue = table(market, "assets").unique("asset_id")
    assert catalogue["risk_class"].value_counts()["count"].min() >= 24  # type: ignore[operator]
    assert catalogue["asset_class"].n_unique() == 3
    span = table(market, "prices").group_by("asset_id").agg(pl.col("date").min().alias("a"), pl.col("date").max().alias("z"))
    assert span.filter(pl.col("a") > dt.date(2021, 9, 1)).height == 15
    assert span.filter(pl.col("z") < dt.date(2024, 5, 6)).height == 4
    assert (table(market, "prices")["close"] > 0).all()


def test_the_restricted_list_holds_each_kind_of_entry(market: Path) -> None:
    listed = table(market, "restricted")
    as_of = MarketSettings().as_of
    now = (pl.col("valid_from") <= as_of) & (pl.col("valid_to").is_null() | (pl.col("valid_to") >= as_of))
    assert listed.filter(now)["list_kind"].sort().to_list() == ["restricted", "restricted", "watch"]
    assert listed.filter(pl.col("valid_to") < as_of).height == 1
    assert set(listed["asset_id"]) <= set(table(market, "transactions")["asset_id"])


# The random numbers


def test_uniform_numbers_are_uniform_and_streams_are_independent() -> None:
    who = np.arange(200_000, dtype=np.int64)
    drawn = np.stack([uniforms(1, stream, who) for stream in range(4)])
    counts = np.stack([np.histogram(row, bins=100, range=(0, 1))[0] for row in drawn])
    chi_square = ((counts - 2_000) ** 2 / 2_000).sum(axis=1)
    assert (chi_square < 150).all()  # 99 degrees of freedom: 0.07 % of fair draws exceed 150
    assert np.abs(np.corrcoef(drawn) - np.eye(4)).max() < 0.01
    assert abs(np.corrcoef(drawn[0][1:], drawn[0][:-1])[0, 1]) < 0.01
    assert abs(np.corrcoef(drawn[0], uniforms(2, 0, who))[0, 1]) < 0.01


def test_normal_numbers_are_normal() -> None:
    drawn = normals(3, 0, np.arange(200_000, dtype=np.int64))
    assert abs(drawn.mean()) < 0.01
    assert abs(drawn.std() - 1) < 0.01
    assert abs((np.abs(drawn) < 1.96).mean() - 0.95) < 0.003


@given(seed=st.integers(0, 2**62), stream=st.integers(0, 10_000), first=st.integers(0, 2**40))
def test_a_draw_depends_on_its_address_alone(seed: int, stream: int, first: int) -> None:
    who = np.arange(first, first + 50, dtype=np.int64)
    together = uniforms(seed, stream, who)
    assert ((together >= 0) & (together < 1)).all()
    assert together[17] == uniforms(seed, stream, who[17:18])[0]


@given(
    weights=st.lists(
        st.lists(st.sampled_from([0.0, 1e-12, 0.3, 7.0]), min_size=4, max_size=4).filter(any), min_size=1, max_size=6
    ),
    uniform=st.one_of(st.just(0.0), st.just(1.0 - 2.0**-53), st.floats(0, 1, exclude_max=True)),
)
def test_a_choice_is_never_of_weight_zero(weights: list[list[float]], uniform: float) -> None:
    rows = np.arange(len(weights), dtype=np.int64)
    drawn = ChoiceTable(np.array(weights)).draw(rows, np.full(len(weights), uniform))
    assert all(weights[row][column] > 0 for row, column in zip(rows, drawn, strict=True))


def test_choices_follow_their_weights() -> None:
    choices = ChoiceTable(np.array([[1.0, 3.0], [1.0, 0.0]]))
    uniform = uniforms(5, 0, np.arange(100_000, dtype=np.int64))
    assert abs(choices.draw(np.zeros(100_000, dtype=np.int64), uniform).mean() - 0.75) < 0.01
    assert (choices.draw(np.ones(100_000, dtype=np.int64), uniform) == 0).all()
    assert choices.draw(np.array([0, 0]), np.array([0.2499, 0.25])).tolist() == [0, 1]


def test_a_row_without_weight_is_refused() -> None:
    with pytest.raises(ValueError, match="positive sum"):
        ChoiceTable(np.array([[1.0, 0.0], [0.0, 0.0]]))
