"""Signal attention: what it learns, and that what it says about holdings and signals is what it scores with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from data_contracts.errors import TrainingError
from lightning_modules.fit import fit, load_ranker
from lightning_modules.histories import Histories
from lightning_modules.market_signals import HOLDING_SIGNALS, ITEM_SIGNALS
from lightning_modules.popularity import popularity_scores
from lightning_modules.ranker import FeatureRanker
from lightning_modules.settings import ModelSpec, TrainSettings
from lightning_modules.signal_attention import SignalAttention
from tests.lightning_modules.small_histories import CUT_DAY, planted_market, write

SPEC = ModelSpec(kind="signal_attention", horizon_days=60, anchors=4, anchor_spacing_days=30)
SETTINGS = TrainSettings(epochs=6, base_lr=1e-2, batch_size=64, threads=1)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[SignalAttention, Histories, np.ndarray]:
    folder = tmp_path_factory.mktemp("signals")
    histories, following = planted_market(folder / "market", customers=400)
    fit(SPEC, SETTINGS, folder / "market", folder / "model")
    model = load_ranker(folder / "model", folder / "market")
    assert isinstance(model, SignalAttention)
    return model, histories, following


def test_it_finds_the_companions_that_popularity_cannot(fitted: tuple[SignalAttention, Histories, np.ndarray]) -> None:
    model, histories, following = fitted
    batch = histories.batch(np.arange(histories.n_customers))
    held = torch.zeros(len(batch.items), 41, dtype=torch.bool).scatter_(1, batch.items, True)[:, 1:]
    with torch.no_grad():
        found = model.score(batch).masked_fill(held, -torch.inf).argmax(1) + 1
    popular = popularity_scores(histories).expand(len(held), -1).masked_fill(held, -torch.inf).argmax(1) + 1
    truth = torch.from_numpy(following)
    hits, by_popularity = (found == truth).float().mean(), (popular == truth).float().mean()
    assert hits > by_popularity + 0.15, (hits, by_popularity)


def test_signal_weights_are_a_distribution_and_differ_between_customers(
    fitted: tuple[SignalAttention, Histories, np.ndarray],
) -> None:
    model, histories, _ = fitted
    with torch.no_grad():
        weights = model.signal_weights(histories.batch(np.arange(50)))
    assert weights.shape == (50, len(model.signals))
    assert torch.allclose(weights.sum(1), torch.ones(50))
    assert weights.std(0).max() > 1e-3


def test_what_holdings_add_is_exactly_their_part_of_the_score(fitted: tuple[SignalAttention, Histories, np.ndarray]) -> None:
    model, histories, _ = fitted
    batch = histories.batch(np.arange(30))
    everything = torch.arange(1, 41).expand(30, -1)
    with torch.no_grad():
        parts = model.contributions(batch, everything)  # [B, N, L]
        score = model.score(batch)
        # The score without the six signals of holdings: the same model with their strengths at 0.
        strength = model.strength.clone()
        first = len(ITEM_SIGNALS)
        model.strength[first : first + len(HOLDING_SIGNALS)] = 0
        rest = model.score(batch)
        model.strength.copy_(strength)
        shares = model.attention(batch, everything)
    assert (score - rest).abs().max() > 0.1
    torch.testing.assert_close(parts.sum(-1), score - rest, atol=1e-4, rtol=1e-4)
    assert torch.equal(parts[~batch.mask[:, None, :].expand_as(parts)], torch.zeros(int((~batch.mask).sum()) * 40))
    positive = parts.clamp_min(0)
    torch.testing.assert_close(shares * positive.sum(-1, keepdim=True), positive, atol=1e-5, rtol=1e-4)


def test_a_customer_without_history_is_ranked_by_the_market(fitted: tuple[SignalAttention, Histories, np.ndarray]) -> None:
    model, histories, _ = fitted
    batch = histories.batch(np.arange(1))
    nobody = histories.window(batch.customers, histories.offsets[:1], histories.offsets[:1], torch.full_like(batch.now, CUT_DAY))
    with torch.no_grad():
        scores = model.score(nobody)
    assert scores.isfinite().all()
    assert scores.std() > 0


def test_too_short_a_history_and_too_large_a_catalogue_say_what_to_do(tmp_path: Path) -> None:
    write(tmp_path / "short", [[(1, 3), (2, 1)]] * 30, 3)
    with pytest.raises(TrainingError, match="no past day leaves 60 days"):
        fit(SPEC, SETTINGS, tmp_path / "short", tmp_path / "model")
    write(tmp_path / "wide", [[(1, 3)]], 2001)
    with pytest.raises(TrainingError, match="2001 are more than 2000"):
        fit(SPEC, SETTINGS, tmp_path / "wide", tmp_path / "model")


def test_kinds_of_signals_add_up_to_the_score_and_can_be_hidden(fitted: tuple[SignalAttention, Histories, np.ndarray]) -> None:
    model, histories, _ = fitted
    batch, everything = histories.batch(np.arange(20)), torch.arange(1, 41).expand(20, -1)
    assert isinstance(model, FeatureRanker)
    assert model.feature_names[:3] == ("buyers ever", "recent buyers", "holdings")
    with torch.no_grad():
        score = model.score(batch)
        parts = model._by_feature(batch, everything)
        torch.testing.assert_close(parts.sum(-1), score, atol=1e-4, rtol=1e-4)
        shares = model.feature_attention(batch, everything)
        items = torch.full((20,), 7)
        without = model.score_without(batch, items, torch.full((20,), 2))
    assert ((shares.sum(-1) - 1).abs() < 1e-5)[(parts > 0).any(-1)].all()
    torch.testing.assert_close(score[:, 6] - without[:, 6], parts[:, 6, 2], atol=1e-4, rtol=1e-4)
    others = torch.arange(40) != 6
    assert torch.equal(score[:, others], without[:, others])
