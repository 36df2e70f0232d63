"""Attention by layer, head and regime adds up to what the model says in one number, and turns with the market."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from lightning_modules.attention_detail import attention_detail, known_on
from lightning_modules.family import FAMILY, build_ranker
from lightning_modules.histories import Histories
from lightning_modules.market_states import BEAR, BULL, MarketStates
from lightning_modules.ranker import HeadedRanker
from lightning_modules.settings import ModelKind, ModelSpec
from tests.lightning_modules.small_histories import CUT_DAY, write

HEADED: tuple[ModelKind, ...] = ("attention_cf", "sequential_attention", "portfolio_attention", "transformer", "signal_attention")
BULL_DAY, BEAR_DAY = CUT_DAY - 20, CUT_DAY - 5


@pytest.fixture
def histories(tmp_path: Path) -> Histories:
    rows = [[(1 + (3 * c + step * step) % 6, 40 - 8 * step) for step in range(5)] for c in range(9)]
    standing = torch.randn(3, 8, 2, generator=torch.Generator().manual_seed(0))
    market = MarketStates(
        torch.tensor([CUT_DAY - 60, BULL_DAY, BEAR_DAY], dtype=torch.int32),
        torch.tensor([0, BULL, BEAR], dtype=torch.int32),
        standing,
    )
    features = np.random.default_rng(0).normal(size=(8, 2)).astype(np.float32)
    return write(tmp_path, rows, 8, features, market=market)


def ranker(kind: ModelKind, histories: Histories, regime: str = "off") -> HeadedRanker:
    torch.manual_seed(0)
    spec = ModelSpec(kind=kind, dim=8, heads=2, blocks=2, max_length=10, regime=regime, regime_strength=1.0)  # type: ignore[arg-type]
    model = build_ranker(spec, histories)
    model.prepare(histories, None)
    assert isinstance(model, HeadedRanker)
    return model.eval()  # type: ignore[attr-defined, no-any-return]


def frame(model: HeadedRanker, histories: Histories) -> tuple[pl.DataFrame, str]:
    candidates = np.array([[7, 8], [8, 0], [7, 1]])
    table, how = attention_detail(model, histories, np.array([0, 3, 5]), candidates, 10)
    found = pl.from_arrow(table)
    assert isinstance(found, pl.DataFrame)
    return found, how


@pytest.mark.parametrize("kind", HEADED)
def test_heads_and_layers_are_the_models_own(kind: ModelKind, histories: Histories) -> None:
    model = ranker(kind, histories)
    found, how = frame(model, histories)
    assert found["head"].unique().sort().to_list() == sorted(model.head_names)
    assert found["layer"].max() == (2 if kind == "transformer" else 1)
    sums = found.group_by("customer", "layer", "head", "regime").agg(pl.col("weight").sum())["weight"].to_numpy()
    if kind == "signal_attention":
        assert (sums <= 1 + 1e-5).all()  # a signal may say nothing in favour
    else:
        assert sums == pytest.approx(1.0, abs=1e-5)
    assert set(found["regime"]) == {"as it is", "bull", "bear"}
    assert str(np.datetime64(BULL_DAY, "D")) in how
    assert str(np.datetime64(BEAR_DAY, "D")) in how


@pytest.mark.parametrize("kind", ["attention_cf", "sequential_attention", "transformer"])
def test_the_mean_over_heads_is_the_attention(kind: ModelKind, histories: Histories) -> None:
    model = ranker(kind, histories)
    batch, asked = histories.batch(np.array([0, 3])), torch.tensor([[7, 8], [8, 1]])
    with torch.no_grad():
        heads, whole = model.head_attention(batch, asked), model.attention(batch, asked)  # type: ignore[attr-defined]
    last = heads[:, :, -1].mean(2)
    if kind != "transformer":  # there each head is scaled by itself, without what fell on the start token
        assert torch.allclose(last, whole, atol=1e-6)
    assert torch.allclose(last.sum(-1), torch.ones(2, 2), atol=1e-5)


@pytest.mark.parametrize("kind", ["attention_cf", "sequential_attention", "portfolio_attention"])
def test_a_regime_factor_is_asked_both_ways_on_one_day(kind: ModelKind, histories: Histories) -> None:
    found, how = frame(ranker(kind, histories, regime="set"), histories)
    assert "as if in a bull market" in how
    weights = {regime: found.filter(pl.col("regime") == regime)["weight"] for regime in ("as it is", "bull", "bear")}
    assert not weights["bull"].equals(weights["bear"])
    # The cut lies in a bear market: as it is, is as if it were one.
    assert weights["as it is"].equals(weights["bear"])


def test_a_day_in_the_past_knows_no_later_purchase(histories: Histories) -> None:
    batch = known_on(histories, torch.tensor([0, 1]), CUT_DAY - 20, None)
    assert batch.lengths.tolist() == [3, 3]
    assert int(batch.days.max()) <= CUT_DAY - 20
    assert batch.now.tolist() == [CUT_DAY - 20] * 2
    assert known_on(histories, torch.tensor([0]), CUT_DAY - 20, 2).items.tolist() == [batch.items[0, 1:].tolist()]


def test_who_does_not_look_at_events_has_no_heads(histories: Histories) -> None:
    for kind in set(FAMILY) - set(HEADED):
        assert not isinstance(build_ranker(ModelSpec(kind=kind, dim=8), histories), HeadedRanker), kind
