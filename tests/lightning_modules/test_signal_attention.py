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


def test_a_holdings_share_is_its_part_of_the_score(fitted: tuple[SignalAttention, Histories, np.ndarray]) -> None:
    model, histories, _ = fitted
    batch = histories.batch(np.arange(5))
    asked = torch.tensor([[7, 8]]).expand(5, -1)
    with torch.no_grad():
        shares = model.attention(batch, asked)
        worth = model.signal_weights(batch) * model.strength * len(model.signals)
        first = len(ITEM_SIGNALS)
        for row in range(5):
            items = batch.items[row][batch.mask[row]]
            # Each holding alone, by the definition of the sums: no use of the model's own path but the spread.
            _, spread = model._signals(batch)
            for place, candidate in enumerate((7, 8)):
                parts = []
                for item, day in zip(items.tolist(), batch.days[row].tolist(), strict=False):
                    age = CUT_DAY - day
                    said = 0.0
                    for j, name in enumerate(HOLDING_SIGNALS):
                        amount = 0.15 + 0.85 * 0.5 ** (age / 180) if name == "EASE of recent purchases" else 1.0
                        table = model.holding[0, j, item - 1, candidate - 1]
                        said += float(worth[row, first + j] * amount * table / spread[row, j])
                    parts.append(max(said, 0.0))
                total = sum(parts)
                expected = [part / total if total else 0.0 for part in parts]
                np.testing.assert_allclose(shares[row, place, : len(items)], expected, atol=1e-5)


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
