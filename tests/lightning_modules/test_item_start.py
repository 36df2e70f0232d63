"""A cosine output and item vectors that start at the co-visits: in bounds, and useful before the first step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from lightning_modules.evaluation import rank_tables
from lightning_modules.family import build_ranker
from lightning_modules.histories import Histories
from lightning_modules.settings import ItemStart, ModelSpec
from lightning_modules.transformer import CausalTransformer
from tests.lightning_modules.small_histories import planted_market


def model_of(histories: Histories, start: ItemStart, scale: float | None = 20.0) -> CausalTransformer:
    spec = ModelSpec(kind="transformer", dim=32, positions="none", cosine_scale=scale, item_start=start, item_bias=False)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_ranker(spec, histories)
        model.prepare(histories, None)
    assert isinstance(model, CausalTransformer)
    return model.eval()


def mean_rank(model: CausalTransformer, histories: Histories, following: np.ndarray) -> float:
    with torch.no_grad():
        ranks, _ = rank_tables(model.score, histories, np.arange(len(following)), following, k=0)
    return float(ranks["rank"].to_numpy().mean())


def test_an_untrained_model_on_covisit_vectors_already_knows_companions(tmp_path: Path) -> None:
    histories, following = planted_market(tmp_path)
    # About 35 candidates: chance is rank 18.
    assert mean_rank(model_of(histories, "covisits"), histories, following) < 4
    assert mean_rank(model_of(histories, "random"), histories, following) > 12


def test_scores_stay_within_the_scale_and_follow_the_direction_alone(tmp_path: Path) -> None:
    histories, _ = planted_market(tmp_path, customers=60)
    model = model_of(histories, "covisits", scale=7.0)
    batch = histories.batch(np.arange(60))
    with torch.no_grad():
        before = model.score(batch)
        assert before.abs().max() <= 7.0 + 1e-4
        model.items.weight.mul_(3.0)  # every vector three times as long: the same directions
        assert torch.allclose(model.score(batch), before, atol=1e-4)
        free = model_of(histories, "covisits", scale=None)
        longer = free.score(batch)
        free.items.weight.mul_(3.0)
        assert not torch.allclose(free.score(batch), longer, atol=1e-1)


def test_the_loss_is_that_of_the_scores(tmp_path: Path) -> None:
    from lightning_modules.examples import SequenceExamples

    histories, _ = planted_market(tmp_path, customers=12)
    model = model_of(histories, "covisits", scale=9.0)
    batch = SequenceExamples(histories, 50, None)[np.arange(12)]
    losses = []
    for row, length in enumerate(batch.history.lengths.tolist()):
        customer = batch.history.customers[[row]]
        start = histories.offsets[customer]
        for place in range(length):
            begun = histories.window(customer, start, start + place, batch.history.now[[row]])
            scores = model.score(begun)[0]
            target = int(batch.targets[row, place])
            scores[[item - 1 for item in set(batch.owned[row].tolist()) - {0, target + 1}]] = -torch.inf
            losses.append(-torch.log_softmax(scores, 0)[target])
    assert abs(model.loss(batch).item() - torch.stack(losses).mean().item()) < 1e-4
