"""Every kind of the family goes through the same door: fit, store, load, score, say what it looked at."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from data_contracts.errors import ConfigError, TrainingError
from lightning_modules.family import FAMILY, build_ranker, computed_ranker, events_read
from lightning_modules.fit import fit, load_ranker
from lightning_modules.importance import slices, weights_table
from lightning_modules.ranker import Ranker
from lightning_modules.settings import KINDS, ModelKind, ModelSpec, TrainSettings
from tests.lightning_modules.small_histories import planted_market, write

SETTINGS = TrainSettings(epochs=1, batch_size=64, threads=1)


def spec_of(kind: ModelKind) -> ModelSpec:
    return ModelSpec(kind=kind, dim=8, blocks=1, max_length=6, holders=4, holder_dim=4)


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("market")
    planted_market(directory, customers=60)
    return directory


def test_every_kind_has_a_member_and_no_other() -> None:
    assert set(FAMILY) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_fitted_stored_loaded_and_scores_the_same(kind: ModelKind, market: Path, tmp_path: Path) -> None:
    report = fit(spec_of(kind), SETTINGS, market, tmp_path)
    model = load_ranker(tmp_path, market)
    again = load_ranker(tmp_path, market)
    assert isinstance(model, Ranker)
    from lightning_modules.histories import Histories

    histories = Histories.open(market)
    batch = histories.batch(np.arange(20), events_read(spec_of(kind)))
    scores = model.score(batch)
    assert scores.shape == (20, 40)
    assert scores.isfinite().all()
    assert torch.equal(scores, again.score(batch))
    weights = model.attention(batch, torch.arange(1, 4).expand(20, -1))
    assert weights.shape == (20, 3, batch.items.shape[1])
    assert (weights >= 0).all()
    total = weights.sum(-1)
    assert torch.all((total - 1).abs().lt(1e-5) | (total == 0))
    assert bool((total > 0).any()) == (FAMILY[kind].speaks != "none")
    told = json.loads((tmp_path / "model.json").read_text())
    assert told["spec"]["kind"] == kind
    steps = pq.read_table(tmp_path / "training.parquet").num_rows
    assert steps == report.steps == told["fit"]["steps"]
    closed = model.examples == "none"
    assert (steps == 0) == closed
    assert (report.first_loss is None) == closed
    if closed:
        assert torch.equal(computed_ranker(spec_of(kind), histories).score(batch), scores)
        with pytest.raises(TypeError, match="closed form and has no training loss"):
            model.loss(None)  # type: ignore[arg-type]
    else:
        with pytest.raises(ValueError, match="is trained, not computed"):
            computed_ranker(spec_of(kind), histories)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if FAMILY[kind].reads_all])
def test_nothing_to_learn_from_is_said_by_closed_forms_too(kind: ModelKind, tmp_path: Path) -> None:
    write(tmp_path / "histories", [[], []], 3)
    with pytest.raises(TrainingError, match="nothing to learn from"):
        fit(spec_of(kind), SETTINGS, tmp_path / "histories", tmp_path / "out")


def test_a_model_of_customers_is_refused_for_others(market: Path, tmp_path: Path) -> None:
    fit(spec_of("bpr_mf"), SETTINGS, market, tmp_path / "model")
    planted_market(tmp_path / "fewer", customers=59)
    with pytest.raises(TrainingError, match="was trained on other customers"):
        load_ranker(tmp_path / "model", tmp_path / "fewer")


def test_an_unknown_kind_is_refused_with_those_that_exist() -> None:
    with pytest.raises(ConfigError, match="kind is 'lstm'") as caught:
        ModelSpec(kind="lstm")  # type: ignore[arg-type]
    assert "item_knn" in str(caught.value)


def test_long_histories_are_explained_in_smallslices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    histories = write(tmp_path, [[(1, 9)], [(1, 9), (2, 8), (3, 7), (4, 6)], [(2, 1)], []], 4)
    customers = np.arange(4)
    assert list(slices(histories, customers, None, 512)) == [slice(0, 4)]
    assert list(slices(histories, customers, None, 3)) == [slice(0, 3), slice(3, 4)]
    model = computed_ranker(replace(spec_of("ease"), ease_ridge=1.0), histories)
    asked = np.array([[2], [1], [4], [1]])
    whole = weights_table(model, histories, customers, asked)
    monkeypatch.setattr("lightning_modules.importance.MOST_CELLS", 17)
    # 16 pairs for the long history; beside another customer it would be 32.
    assert list(slices(histories, customers, None, 512)) == [slice(0, 1), slice(1, 2), slice(2, 4)]
    assert weights_table(model, histories, customers, asked).equals(whole)
    assert build_ranker(spec_of("ease"), histories).examples == "none"
