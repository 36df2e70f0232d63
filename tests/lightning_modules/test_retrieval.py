"""The retrieval stage: who is a candidate, and that scoring candidates alone gives the full path's numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lightning_modules.attention_cf import AttentionCF
from lightning_modules.examples import PurchaseExamples
from lightning_modules.histories import Histories
from lightning_modules.retrieval import Retrieval, co_visits, spread
from lightning_modules.settings import ModelSpec
from tests.lightning_modules.small_histories import planted_market, write


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> tuple[Histories, np.ndarray]:
    return planted_market(tmp_path_factory.mktemp("market"), customers=300)


def attention_cf(histories: Histories, candidates: int) -> AttentionCF:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        spec = ModelSpec(dim=8, max_length=10, holders=4, holder_dim=4, candidates=candidates, regime="learned")
        model = AttentionCF(spec, histories)
        torch.nn.init.constant_(model.interaction, 0.7)
        model.prepare(histories, None)
    return model.eval()


def test_literal_co_visits(tmp_path: Path) -> None:
    neighbours, strengths = co_visits(write(tmp_path, [[(1, 9), (2, 8), (3, 7)], [(1, 5), (2, 4)]], 4))
    # 1-2: adjacent twice, 2; 2-3: once, 1; 1-3: two apart, 1/2. Sums: 2.5, 3, 1.5.
    assert neighbours[1, :2].tolist() == [2, 3]
    assert strengths[1, :2].tolist() == pytest.approx([2 / (2.5 * 3) ** 0.5, 0.5 / (2.5 * 1.5) ** 0.5])
    assert strengths[4].sum() == 0
    assert strengths[0].sum() == 0


def test_candidates_are_distinct_and_hold_the_planted_companion(market: tuple[Histories, np.ndarray]) -> None:
    histories, following = market
    retrieval = Retrieval(histories, 15)
    chosen = retrieval(histories.batch(np.arange(300)), torch.zeros(41, 4))
    assert chosen.shape == (300, 15)
    assert chosen.min() >= 1
    assert chosen.max() <= 40
    assert all(len(set(row)) == 15 for row in chosen.tolist())
    found = (chosen == torch.from_numpy(following)[:, None]).any(1).float().mean()
    assert found > 0.8  # by chance 15 of 40


def test_each_source_has_its_turn(tmp_path: Path) -> None:
    """Item 2 is co-visited with 1, item 5 lies in its direction, item 3 is most popular."""
    rows = [[(1, 9), (2, 9)], *[[(3, 400 - i)] for i in range(6)], [(4, 900)], [(5, 900)], [(6, 900)]]
    histories = write(tmp_path, rows, 6)
    table = torch.zeros(7, 2)
    table[1], table[5], table[2] = torch.tensor([1.0, 0.0]), torch.tensor([9.0, 0.0]), torch.tensor([0.0, 1.0])
    asked = histories.batch(np.array([0]), 2)
    asked = type(asked)(**{**asked.__dict__, "items": torch.tensor([[1, 0]]), "lengths": torch.tensor([1])})
    popular = int(Retrieval(histories, 6).popularity.argmax()) + 1
    assert set(Retrieval(histories, 3)(asked, table)[0].tolist()) == {2, 5, popular}


def test_scoring_candidates_alone_equals_the_full_path(market: tuple[Histories, np.ndarray]) -> None:
    histories, _ = market
    full, staged = attention_cf(histories, 0), attention_cf(histories, 15)
    assert full.retrieval is None
    assert staged.retrieval is not None
    batch = histories.batch(np.arange(50), 10)
    with torch.no_grad():
        chosen = staged.retrieval(batch, staged.items())
        everything, some = full.score(batch), staged.score(batch)
        assert torch.allclose(everything.gather(1, chosen - 1), some.gather(1, chosen - 1), atol=1e-5)
        # Every other item stands below, and the attention says that it was not looked at.
        ranked = some.argsort(1, descending=True)[:, :15]
        assert torch.equal(ranked.sort(1).values, (chosen - 1).sort(1).values)
        all_items = torch.arange(1, 41).expand(50, -1)
        weights, whole = staged.attention(batch, all_items), full.attention(batch, all_items)
        retrieved = torch.zeros(50, 40, dtype=torch.bool).scatter(1, chosen - 1, True)
    assert torch.allclose(weights[retrieved], whole[retrieved], atol=1e-6)
    assert (weights[~retrieved] == 0).all()


def test_asking_for_the_whole_catalogue_needs_no_retrieval(market: tuple[Histories, np.ndarray]) -> None:
    assert attention_cf(market[0], 40).retrieval is None


def test_the_loss_over_candidates_counts_the_target_once(market: tuple[Histories, np.ndarray]) -> None:
    histories, _ = market
    batch = PurchaseExamples(histories, 10, None)[np.arange(20)]
    model = attention_cf(histories, 15)
    loss = model.loss(batch)
    loss.backward()
    assert loss.isfinite()
    assert model.query.weight.grad is not None
    assert model.query.weight.grad.abs().sum() > 0
    # By hand: the target against the retrieved items that the customer never bought.
    with torch.no_grad():
        scores, chosen = attention_cf(histories, 0).score(batch.history), model.retrieval(batch.history, model.items())  # type: ignore[misc]
        expected = []
        for row in range(20):
            rivals = set((chosen[row] - 1).tolist()) - set((batch.owned[row] - 1).tolist())
            columns = [int(batch.targets[row]), *sorted(rivals)]
            expected.append(-torch.log_softmax(scores[row, columns], 0)[0])
    assert float(loss.detach()) == pytest.approx(
        float((torch.stack(expected) * batch.weights).sum() / batch.weights.sum()), abs=1e-4
    )


def test_what_was_not_retrieved_stands_below_by_popularity() -> None:
    full = spread(torch.tensor([[2.0, -3.0]]), torch.tensor([[4, 2]]), torch.tensor([0.5, 9.0, 1.5, 0.0]))
    assert full.tolist() == [[-3 - 1 - 8.5, -3.0, -3 - 1 - 7.5, 2.0]]
