"""GRU4Rec: reads the order, sees nothing of what comes, and ignores padding."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from data_contracts.errors import ConfigError
from lightning_modules.covisits import covisit_vectors
from lightning_modules.examples import SequenceExamples
from lightning_modules.gru import GRU4Rec
from lightning_modules.histories import Histories
from lightning_modules.settings import ModelSpec
from tests.lightning_modules.small_histories import write

ROWS = [[(2, 90), (1, 90), (4, 30)], [], [(3, 30)], [(1, 60), (3, 60), (5, 9), (2, 3), (4, 1)], [(5, 20), (1, 2)]]


@pytest.fixture
def histories(tmp_path: Path) -> Histories:
    generator = np.random.default_rng(0)
    items = generator.normal(size=(6, 3)).astype(np.float32)
    customers = generator.normal(size=(5, 2)).astype(np.float32)
    return write(tmp_path, ROWS, 6, items, customers)


def model_of(histories: Histories, **changes: object) -> GRU4Rec:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = GRU4Rec(ModelSpec(kind="gru4rec", dim=8, max_length=10, **changes), histories)  # type: ignore[arg-type]
        model.prepare(histories, None)
    return model.eval()


@pytest.mark.parametrize("scale", [None, 20.0])
def test_padding_and_neighbours_in_the_batch_have_no_effect(scale: float | None, histories: Histories) -> None:
    model = model_of(histories, cosine_scale=scale)
    batch = histories.batch(np.arange(5))
    padded = replace(batch, **{name: F.pad(getattr(batch, name), (0, 4)) for name in ("items", "days", "weights")})
    alone = torch.cat([model.score(histories.batch(np.array([row]))) for row in range(5)])
    assert alone.isfinite().all()
    assert torch.allclose(model.score(padded), alone, atol=1e-5)
    assert torch.allclose(model.score(batch), alone, atol=1e-5)


def test_a_target_is_scored_from_the_events_before_it(histories: Histories) -> None:
    model = model_of(histories)
    batch = SequenceExamples(histories, 10, None)[np.arange(4)]
    losses = []
    for row, length in enumerate(batch.history.lengths.tolist()):
        owned = set(batch.owned[row].tolist()) - {0}
        customer = batch.history.customers[[row]]
        for place in range(length):
            begun = histories.window(
                customer, histories.offsets[customer], histories.offsets[customer] + place, batch.history.now[[row]]
            )
            scores = model.score(begun)[0]
            target = int(batch.targets[row, place])
            barred = [item - 1 for item in owned if item - 1 != target]
            scores[barred] = -torch.inf
            losses.append(-torch.log_softmax(scores, 0)[target])
    assert model.loss(batch).item() == pytest.approx(torch.stack(losses).mean().item(), abs=1e-5)


def test_every_parameter_learns(histories: Histories) -> None:
    model = model_of(histories).train()
    loss = model.loss(SequenceExamples(histories, 10, None)[np.arange(4)])
    loss.backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert not [name for name, gradient in gradients.items() if gradient is None or not gradient.isfinite().all()]


def test_a_cosine_is_bounded_and_vectors_start_at_the_covisits(histories: Histories) -> None:
    model = model_of(histories, cosine_scale=5.0, item_start="covisits")
    assert torch.equal(model.items.weight[1:], covisit_vectors(histories, 8))
    scores = model.score(histories.batch(np.arange(5))) - model.bias
    assert scores.abs().max() <= 5.0 + 1e-4
    assert torch.allclose(model.item_table().norm(dim=1), torch.ones(7), atol=1e-5)


@pytest.mark.parametrize(("name", "value"), [("cosine_scale", 0.0), ("cosine_scale", 1e4), ("item_start", "svd")])
def test_bounds(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=name):
        ModelSpec(**{name: value})  # type: ignore[arg-type]
