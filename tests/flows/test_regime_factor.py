"""On a market with planted regimes the regime factor learns the right sign, and moves attention and scores accordingly."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from data_contracts.simulate import MarketSettings, simulate_market
from data_contracts.simulate_sectors import SECTOR_DEFENSIVE, SECTOR_NAMES
from flows.market_features import market_regime
from flows.market_states import market_states
from lightning_modules.fit import fit, load_ranker
from lightning_modules.histories import Histories, HistoryBatch
from lightning_modules.history_files import write_histories
from lightning_modules.market_states import BEAR, BULL
from lightning_modules.settings import ModelKind, ModelSpec, RegimeMode, TrainSettings

DEFENSIVE = [name for name, sheltered in zip(SECTOR_NAMES, SECTOR_DEFENSIVE, strict=True) if sheltered]
MODELS: tuple[ModelKind, ...] = ("attention_cf", "sequential_attention", "portfolio_attention")
WINNER, CALM = 0, 1


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Training set of a simulated market to its last day, purchases and prices only; 30 weeks of bull, 31 of bear."""
    root = tmp_path_factory.mktemp("regimes")
    source = simulate_market(root / "market", MarketSettings(customers=800, assets=90, trades_per_customer=30.0, seed=1))
    prices = pl.read_parquet(source / "prices.parquet")
    assets = pl.read_parquet(source / "assets.parquet").unique("asset_id").sort("asset_id").select("asset_id", "sector")
    cut = date(2024, 6, 28)
    buys = (
        pl.read_parquet(source / "transactions.parquet")
        .filter(pl.col("side") == "buy")
        .join(assets.select("asset_id", item=pl.int_range(1, pl.len() + 1, dtype=pl.Int32)), on="asset_id")
        .sort("customer_id", "date", maintain_order=True)
        .with_columns(
            day=pl.col("date").to_physical(),
            weight=pl.lit(1.0),
            first=pl.int_range(pl.len()).over("customer_id", "item") == 0,
        )
    )
    counts = buys.group_by("customer_id", maintain_order=True).len()
    write_histories(
        root / "histories",
        buys.select("item", "day", "weight", "first").to_arrow(),
        np.concatenate([[0], np.cumsum(counts["len"].to_numpy())]).astype(np.int64),
        assets.to_arrow(),
        counts.select("customer_id").to_arrow(),
        np.zeros((assets.height, 0), np.float32),
        [],
        np.zeros((counts.height, 0), np.float32),
        [],
        cut,
        market_states(prices, market_regime(prices, 60, 0.03, 30), assets["asset_id"].to_list(), cut, 60, 30),
    )
    return root / "histories"


def fitted(kind: ModelKind, regime: RegimeMode, market: Path, out: Path, *, epochs: int, strength: float = 0.0) -> Any:
    spec = ModelSpec(
        kind=kind,
        dim=16,
        max_length=20,
        feature_dim=8,
        decay="off",  # so that the day of the question matters through the regime alone
        regime=regime,
        regime_strength=strength,
        holders=0,
    )
    settings = TrainSettings(epochs=epochs, batch_size=256, base_lr=1e-2, recency_half_life_days=None, threads=1)
    fit(spec, settings, market, out)
    return load_ranker(out, market)


def asked_on(histories: Histories, regime: int) -> HistoryBatch:
    """Every customer's history, asked on the last day of a regime. Nothing of the histories is hidden or dated."""
    day = histories.market.days[histories.market.regimes == regime][-1]
    batch = histories.batch(np.arange(histories.n_customers), 20)
    return replace(batch, now=torch.full_like(batch.now, int(day)))


def looked_at(model: Any, histories: Histories, regime: int, trait: int) -> tuple[float, float]:
    """How high what the model attends to, and what it ranks first, stands in a trait (momentum or calm) on that day.

    Returns:
        the mean standing of the attended holdings (by weight) and of everyone's first ten, in standard deviations.
    """
    batch = asked_on(histories, regime)
    row = int((histories.market.days == int(batch.now[0])).nonzero())
    standing = torch.cat([torch.zeros(1), histories.market.standing[row, :, trait]])  # [N + 1]
    with torch.no_grad():
        top = model.score(batch).topk(10).indices + 1
        weights = model.attention(batch, top[:, :1])[:, 0]  # [B, L]
    has_history = batch.mask.any(1)
    attended = (weights * standing[batch.items]).sum(1)[has_history].mean()
    return float(attended), float(standing[top].mean())


@pytest.mark.parametrize("kind", MODELS)
def test_a_set_factor_turns_to_winners_in_a_bull_and_to_calm_in_a_bear(kind: ModelKind, market: Path, tmp_path: Path) -> None:
    histories = Histories.open(market)
    off = fitted(kind, "off", market, tmp_path / "off", epochs=1)
    on = fitted(kind, "set", market, tmp_path / "on", epochs=1, strength=1.0)
    for regime, trait in ((BULL, WINNER), (BEAR, CALM)):
        without, with_factor = looked_at(off, histories, regime, trait), looked_at(on, histories, regime, trait)
        assert with_factor[0] > without[0] + 0.15
        assert with_factor[1] > without[1] + 0.3
    # Off, the very same numbers whatever the market does.
    bull, bear = asked_on(histories, BULL), asked_on(histories, BEAR)
    asked = torch.ones(len(bull.items), 1, dtype=torch.int64)
    with torch.no_grad():
        assert torch.equal(off.score(bull), off.score(bear))
        assert torch.equal(off.attention(bull, asked), off.attention(bear, asked))
        assert not torch.equal(on.attention(bull, asked), on.attention(bear, asked))


def test_a_learned_factor_finds_the_planted_flight_to_defensive_assets(market: Path, tmp_path: Path) -> None:
    histories = Histories.open(market)
    model = fitted("attention_cf", "learned", market, tmp_path, epochs=3)
    in_bull, in_bear = model.turn.strength.tolist()
    assert in_bear > 0.03
    # Momentum is a faint mark of what is planted in a bull (a lean to stocks that are not defensive): no sign against it.
    assert in_bull > -0.05
    defensive = torch.from_numpy(pl.read_parquet(market / "items.parquet")["sector"].is_in(DEFENSIVE).to_numpy().copy())
    with torch.no_grad():
        bull, bear = (torch.softmax(model.score(asked_on(histories, regime)), 1) for regime in (BULL, BEAR))
    # Six in a hundred purchases follow the regime, so the whole lean is a few in a hundred.
    assert bear[:, defensive].sum(1).mean() > bull[:, defensive].sum(1).mean() + 0.003
