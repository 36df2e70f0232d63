"""What leaving a feature out costs: the planted one most, nothing where a model does not read it, and all is as before after."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lightning_modules.family import FAMILY, build_ranker
from lightning_modules.feature_importance import feature_importance_table, left_out_features, left_out_verdict, read_features
from lightning_modules.features import StandardisedFeatures
from lightning_modules.histories import Histories
from lightning_modules.settings import ModelKind, ModelSpec
from tests.lightning_modules.small_histories import write

ITEMS = ["sector=Energy", "sector=Banks", "momentum_30", "buyers_30"]


@pytest.fixture
def histories(tmp_path: Path) -> Histories:
    rows = [[(1 + (3 * c + step * step) % 6, 40 - 8 * step) for step in range(4)] for c in range(12)]
    generator = np.random.default_rng(0)
    items, customers = generator.normal(size=(8, 4)).astype(np.float32), generator.normal(size=(12, 2)).astype(np.float32)
    return write(tmp_path, rows, 8, items, customers, item_feature_names=ITEMS)


def ranker(kind: ModelKind, histories: Histories, **shape: bool) -> torch.nn.Module:
    torch.manual_seed(0)
    model = build_ranker(ModelSpec(kind=kind, dim=8, heads=2, max_length=10, **shape), histories)  # type: ignore[arg-type]
    model.prepare(histories, None)
    assert isinstance(model, torch.nn.Module)
    return model.eval()


@pytest.mark.parametrize("kind", list(FAMILY))
def test_what_counts_is_what_is_read(kind: ModelKind, histories: Histories) -> None:
    model = ranker(kind, histories)
    features = read_features(model, histories)  # type: ignore[arg-type]
    batch, asked = histories.batch(np.arange(12)), torch.tensor([[7, 8]]).expand(12, -1)
    before = model.score(batch)
    drops = left_out_features(model, histories, batch, asked)  # type: ignore[arg-type]
    assert drops.shape == (12, 2, len(features))
    if kind in ("attention_cf", "sequential_attention", "transformer", "gru4rec"):
        wanted = ["sector", "momentum", "recent buyers", "customer_feature_0", "customer_feature_1"]
        assert list(features) == wanted
        assert (drops.abs().amax((0, 1)) > 1e-6).all()
    assert torch.equal(model.score(batch), before)


def test_a_model_told_to_read_no_features_has_none(histories: Histories) -> None:
    model = ranker("transformer", histories, item_features=False, profile=False)
    assert read_features(model, histories) == {}  # type: ignore[arg-type]
    table = feature_importance_table(model, histories, np.arange(2), np.array([[7], [8]]))  # type: ignore[arg-type]
    assert table.num_rows == 0


def test_the_planted_feature_counts_most(histories: Histories) -> None:
    model = ranker("gru4rec", histories)
    with torch.no_grad():
        weight = model.from_features.weight  # type: ignore[union-attr]
        weight.mul_(0.01)
        weight[2] *= 500  # type: ignore[index]
        model.from_profile.weight.mul_(0.01)  # type: ignore[union-attr]
    table = feature_importance_table(model, histories, np.arange(12), np.full((12, 2), [7, 0]))  # type: ignore[arg-type]
    rows = table.to_pylist()
    assert len(rows) == 12 * 5  # candidate 0 is none
    drops = left_out_features(model, histories, histories.batch(np.arange(12)), torch.full((12, 1), 7))[:, 0]  # type: ignore[arg-type]
    assert drops.abs().mean(0).argmax() == 1
    best = drops.argmax(1).tolist()
    names = list(read_features(model, histories))  # type: ignore[arg-type]
    assert [row["feature"] for row in rows[::5]] == [names[feature] for feature in best]
    for start in range(0, 60, 5):
        weights = [row["weight"] for row in rows[start : start + 5]]
        assert sum(weights) == pytest.approx(1.0) or sum(weights) == 0
        assert weights == sorted(weights, reverse=True)


def test_the_verdict_is_over_pairs(histories: Histories) -> None:
    asked = np.full((12, 2), [7, 8])
    found = left_out_verdict(ranker("attention_cf", histories), histories, np.arange(12), asked, seed=1)  # type: ignore[arg-type]
    assert (found["n_pairs"], found["n_customers"]) == (24, 12)
    assert found["mean_drop_attended"] >= found["mean_drop_random"]
    nobody = left_out_verdict(ranker("attention_cf", histories), histories, np.arange(0), asked[:0], seed=1)  # type: ignore[arg-type]
    assert nobody["n_pairs"] == 0
    assert not nobody["better_than_random"]
    nothing = left_out_verdict(ranker("ease", histories), histories, np.arange(12), asked, seed=1)  # type: ignore[arg-type]
    assert (nothing["n_pairs"], nothing["better_than_random"]) == (0, False)


def test_hidden_columns_stand_at_the_mean_and_come_back() -> None:
    scale = StandardisedFeatures(2)
    scale.learn(torch.tensor([[1.0, 5.0], [3.0, 9.0]]))
    values = torch.tensor([[1.0, 9.0]])
    with scale.hiding([1]):
        assert scale(values).tolist() == [[-1.0, 0.0]]
    assert scale(values).tolist() == [[-1.0, 1.0]]
