"""The simulated market's truth: it is in the tables, it is what the tables were made from, and it can be found again."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from data_contracts.simulate import MarketSettings, simulate_market
from data_contracts.simulate_sectors import SECTOR_DEFENSIVE, SECTOR_NAMES
from data_contracts.simulate_trades import CAUTION, REASON_NAMES, REASON_SHARES, RECENCY

DEFENSIVE = [name for name, sheltered in zip(SECTOR_NAMES, SECTOR_DEFENSIVE, strict=True) if sheltered]


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate_market(tmp_path_factory.mktemp("simulated") / "market", MarketSettings())


def table(root: Path, name: str) -> pl.DataFrame:
    return pl.read_parquet(root / f"{name}.parquet")


def purchases(root: Path) -> pl.DataFrame:
    """Every purchase with its reason, the asset's sector and class, and the day's regime and fashion."""
    described = table(root, "assets").unique("asset_id").select("asset_id", "asset_class", "sector")
    return (
        table(root, "truth/purchases")
        .join(described, on="asset_id", how="left", maintain_order="left")
        .join(table(root, "truth/regimes"), on="date", how="left", maintain_order="left")
    )


def test_every_buy_has_one_reason_at_its_row(market: Path) -> None:
    rows = table(market, "transactions").with_row_index("source_row", offset=1)
    buys = rows.filter(pl.col("side") == "buy").select(pl.col("source_row").cast(pl.Int64), "customer_id", "asset_id", "date")
    truth = table(market, "truth/purchases")
    assert truth.select("source_row", "customer_id", "asset_id", "date").equals(buys)
    assert set(truth["reason"]) == set(REASON_NAMES)
    driven = truth["reason"].is_in(["holding", "top_up"])
    assert (truth["reason_asset_id"].is_not_null() == driven).all()


def test_a_driving_holding_was_held_and_leads_to_its_companion(market: Path) -> None:
    truth = table(market, "truth/purchases").filter(pl.col("reason").is_in(["holding", "top_up"]))
    ties = table(market, "truth/companions")
    led = truth.filter(pl.col("reason") == "holding")
    known = led.join(ties, left_on=["reason_asset_id", "asset_id"], right_on=["asset_id", "companion_id"], how="inner")
    assert len(known) == len(led)
    again = truth.filter(pl.col("reason") == "top_up")
    assert (again["asset_id"] == again["reason_asset_id"]).all()
    # Net units of the driving asset over all earlier rows of the customer: still held at the moment of the purchase.
    signed = pl.when(pl.col("side") == "buy").then("units").otherwise(-pl.col("units")).alias("change")
    earlier = table(market, "transactions").with_row_index("row", offset=1).select("row", "customer_id", "asset_id", signed)
    net = (
        truth.join(earlier, left_on=["customer_id", "reason_asset_id"], right_on=["customer_id", "asset_id"])
        .filter(pl.col("row") < pl.col("source_row"))
        .group_by("source_row")
        .agg(pl.col("change").sum())
    )
    assert len(net) == len(truth)
    assert net["change"].min() > 1e-9  # type: ignore[operator]


def test_reasons_come_in_the_planted_shares(market: Path) -> None:
    counts = table(market, "truth/purchases")["reason"].value_counts(normalize=True)
    found = dict(counts.iter_rows())
    planted = dict(zip(REASON_NAMES, REASON_SHARES.tolist(), strict=True))
    # A first purchase has no holding to follow, and one whose companions are all owned falls back to taste.
    for reason in ("fashion", "regime", "top_up"):
        assert found[reason] == pytest.approx(planted[reason], abs=0.02)
    assert planted["holding"] - 0.1 < found["holding"] < planted["holding"]
    assert planted["taste"] < found["taste"] < planted["taste"] + 0.1


def test_companions_are_three_others_of_no_higher_risk_and_mostly_of_another_sector(market: Path) -> None:
    described = table(market, "assets").unique("asset_id").select("asset_id", "sector", "risk_class")
    ties = table(market, "truth/companions")
    assert ties.group_by("asset_id").agg(pl.col("companion_id").n_unique(), pl.col("weight").sum())[
        "companion_id"
    ].unique().to_list() == [3]
    both = ties.join(described, on="asset_id").join(described, left_on="companion_id", right_on="asset_id", suffix="_other")
    assert (both["asset_id"] != both["companion_id"]).all()
    assert (both["risk_class_other"] <= both["risk_class"]).all()
    assert (both["sector"] != both["sector_other"]).mean() > 0.9  # type: ignore[operator]


def test_purchases_of_taste_fall_in_the_sectors_liked_most_first(market: Path) -> None:
    liked = table(market, "truth/tastes")
    assert liked.group_by("customer_id").agg(pl.col("weight").sum())["weight"].to_list() == pytest.approx([1.0] * 3_000)
    tasted = purchases(market).filter(pl.col("reason") == "taste")
    found = tasted.join(liked, on=["customer_id", "sector"], how="left")["weight"].fill_null(0.0)
    # The little of everything, and sectors bought empty, take the rest.
    assert (found > 0).mean() > 0.85  # type: ignore[operator]
    assert (found == 0.6).mean() > 2 * (found == 0.15).mean() > 0  # type: ignore[operator]


def test_purchases_of_fashion_follow_the_wave(market: Path) -> None:
    bought = purchases(market)
    share = (pl.col("sector") == pl.col("fashion_sector")).mean()
    followed = bought.filter(pl.col("reason") == "fashion").select(share).item()
    tasted = bought.filter(pl.col("reason") == "taste").select(share).item()
    assert followed > 0.8
    assert tasted < 0.2
    assert table(market, "truth/regimes")["fashion_sector"].n_unique() >= 5


def test_purchases_of_the_regime_turn_defensive_in_a_bear(market: Path) -> None:
    bought = purchases(market).filter(pl.col("reason") == "regime")
    cautious = dict(bought.group_by("regime").agg(pl.col("sector").is_in(DEFENSIVE).mean()).iter_rows())
    assert cautious["bear"] > 0.75
    assert cautious["bear"] > cautious["neutral"] + 0.2
    assert cautious["bull"] < cautious["neutral"]


def test_regimes_last_and_drive_the_market(market: Path) -> None:
    weather = table(market, "truth/regimes")
    kept = (weather["regime"] == weather["regime"].shift(1)).drop_nulls().mean()
    assert kept > 0.95  # type: ignore[operator]
    by_regime = weather.group_by("regime").agg(
        pl.col("market_return").mean().alias("drift"), pl.col("market_return").std().alias("noise"), pl.len()
    )
    found = {row["regime"]: row for row in by_regime.iter_rows(named=True)}
    assert found["bull"]["drift"] > 0 > found["bear"]["drift"]
    assert found["bear"]["noise"] > 1.5 * found["bull"]["noise"]


def test_defensive_stocks_hold_up_in_a_bear_and_bonds_hardly_move(market: Path) -> None:
    returns = (
        table(market, "prices")
        .sort("asset_id", "date")
        .with_columns(pl.col("close").log().diff().over("asset_id").alias("change"))
        .join(table(market, "assets").unique("asset_id").select("asset_id", "asset_class", "sector"), on="asset_id")
        .join(table(market, "truth/regimes"), on="date")
    )
    bear = returns.filter((pl.col("regime") == "bear") & (pl.col("asset_class") == "stock"))
    fall = dict(bear.group_by(pl.col("sector").is_in(DEFENSIVE)).agg(pl.col("change").mean()).iter_rows())
    assert fall[False] < -0.001
    assert fall[True] > 0.6 * fall[False]
    daily = dict(returns.group_by("asset_class").agg(pl.col("change").std()).iter_rows())
    assert daily["bond"] < 0.3 * daily["stock"]
    # What compounds every day must not run away.
    assert returns["change"].abs().max() < 0.2  # type: ignore[operator]


def ndcg_at_10(scores: NDArray[np.float64], relevant: NDArray[np.bool_], known: NDArray[np.bool_]) -> float:
    """Mean over customers (rows), all assets not yet bought as candidates."""
    top = np.argsort(-np.where(known, -np.inf, scores), axis=1, kind="stable")[:, :10]
    discount = 1 / np.log2(np.arange(2, 12))
    gain = (np.take_along_axis(relevant, top, axis=1) * discount).sum(axis=1)
    best = np.cumsum(discount)[np.minimum(relevant.sum(axis=1), 10) - 1]
    return float((gain / best).mean())


def test_the_truth_predicts_new_purchases_far_better_than_popularity(market: Path) -> None:
    """Time split 182 days before as_of; first purchases after it; customers with a purchase before and a new one after."""
    cut = MarketSettings().as_of - dt.timedelta(days=182)
    catalogue = table(market, "assets").unique("asset_id").sort("asset_id")
    people = table(market, "customers")["customer_id"].unique().sort()
    place = {key: index for index, key in enumerate(catalogue["asset_id"])}
    seat = {key: index for index, key in enumerate(people)}
    trades = table(market, "transactions").with_columns(
        pl.col("customer_id").replace_strict(seat).alias("c"), pl.col("asset_id").replace_strict(place).alias("i")
    )
    buys = trades.filter(pl.col("side") == "buy")
    past, future = buys.filter(pl.col("date") <= cut), buys.filter(pl.col("date") > cut)
    known = np.zeros((len(people), len(catalogue)), dtype=np.bool_)
    relevant = known.copy()
    known[past["c"], past["i"]] = True
    relevant[future["c"], future["i"]] = True
    relevant &= ~known
    asked = known.any(axis=1) & relevant.any(axis=1)

    # The oracle: expected next purchase = what holdings lead to + what the customer likes + what is in fashion.
    levels = (
        table(market, "customers")
        .filter(pl.col("valid_from") <= cut)
        .sort("valid_from")
        .unique("customer_id", keep="last")
        .with_columns(
            pl.col("customer_id").replace_strict(seat).alias("c"),
            pl.col("risk_level").replace_strict(
                {"conservative": 0, "income": 1, "balanced": 2, "aggressive": 3, "not_available": 2}
            ),
        )
    )
    limit = np.zeros(len(people), dtype=np.int64)
    limit[levels["c"]] = levels["risk_level"]
    gap = limit[:, None] + 1 - catalogue["risk_class"].to_numpy()
    appeal = catalogue.join(table(market, "truth/assets"), on="asset_id", maintain_order="left")["appeal"].to_numpy()
    allowed = np.where(gap >= 0, CAUTION ** np.maximum(gap, 0), 0.0) * appeal  # [C, N]
    sector = catalogue["sector"].replace_strict(list(SECTOR_NAMES), list(range(len(SECTOR_NAMES)))).to_numpy()
    liked = np.zeros((len(people), len(SECTOR_NAMES)))
    tastes = table(market, "truth/tastes")
    liked[
        tastes["customer_id"].replace_strict(seat),
        tastes["sector"].replace_strict(list(SECTOR_NAMES), list(range(len(SECTOR_NAMES)))),
    ] = tastes["weight"]
    fashion = table(market, "truth/regimes").filter(pl.col("date") <= cut)["fashion_sector"][-1]
    in_sector = np.stack([allowed * (sector == index) for index in range(len(SECTOR_NAMES))])  # [S, C, N]
    in_sector /= np.maximum(in_sector.sum(axis=2, keepdims=True), 1e-12)
    taste = np.einsum("cs,scn->cn", liked, in_sector)
    waves = in_sector[SECTOR_NAMES.index(fashion)]
    lead = np.zeros((len(catalogue), len(catalogue)))
    ties = table(market, "truth/companions")
    lead[ties["asset_id"].replace_strict(place), ties["companion_id"].replace_strict(place)] = ties["weight"]
    recent = past.with_columns((pl.len().over("c") - 1 - pl.int_range(pl.len()).over("c")).alias("lag"))
    pull = np.zeros(known.shape)
    np.add.at(pull, (recent["c"].to_numpy(), recent["i"].to_numpy()), RECENCY ** recent["lag"].to_numpy())
    led = np.where(gap >= 0, pull @ lead, 0.0) * (1 - RECENCY)
    shares = dict(zip(REASON_NAMES, REASON_SHARES.tolist(), strict=True))
    oracle = shares["holding"] * led + shares["taste"] * taste + shares["fashion"] * waves
    popularity = np.broadcast_to(known.sum(axis=0).astype(np.float64), oracle.shape)

    def score(scores: NDArray[np.float64]) -> float:
        return ndcg_at_10(scores[asked], relevant[asked], known[asked])

    figures = {
        "popularity": score(popularity),
        "popularity within the profile": score(np.where(gap >= 0, popularity, -1.0)),
        "taste alone": score(taste),
        "companions alone": score(led),
        "oracle": score(oracle),
    }
    print(f"\nNDCG@10, 182 days, new assets, all {len(catalogue)} candidates, n = {asked.sum()} customers: {figures}")
    assert asked.sum() > 2_000
    assert 0.05 < figures["popularity"] < 0.12
    assert figures["oracle"] > 3 * figures["popularity"]
    assert figures["oracle"] > 3 * figures["popularity within the profile"]
    assert figures["oracle"] > figures["companions alone"] > 2 * figures["popularity"]
    assert figures["oracle"] > figures["taste alone"] > 2 * figures["popularity"]
