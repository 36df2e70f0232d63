"""Closed-form models on tables small enough to work out by hand, and EASE against its formula written again."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from data_contracts.errors import TrainingError
from lightning_modules.bpr_mf import MatrixFactorisation
from lightning_modules.ease import EASE
from lightning_modules.examples import PurchaseExamples
from lightning_modules.family import computed_ranker
from lightning_modules.histories import Histories
from lightning_modules.interactions import interactions, latest_of_each, shares
from lightning_modules.item_to_item import ItemToItem
from lightning_modules.ranker import Ranker
from lightning_modules.settings import ModelKind, ModelSpec
from tests.lightning_modules.small_histories import write


def computed(kind: ModelKind, histories: Histories, **changes: object) -> Ranker:
    return computed_ranker(ModelSpec(kind=kind, **changes), histories)  # type: ignore[arg-type]


def test_popularity_counts_customers_not_purchases_and_recent_popularity_its_window(tmp_path: Path) -> None:
    histories = write(tmp_path, [[(1, 50), (1, 2), (2, 1)], [(1, 30)], []], 3)
    batch = histories.batch(np.arange(3))
    assert computed("popularity", histories).score(batch).tolist() == [[2.0, 1.0, 0.0]] * 3
    recent = [computed("recent_popularity", histories, recent_days=days).score(batch)[0].tolist() for days in (2, 3, 30, 31)]
    # A window of n days holds the cut and the n - 1 days before it.
    assert recent == [[0.0, 1.0, 0.0], [1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [2.0, 1.0, 0.0]]


# Buyers: item 1 three, item 2 two, item 3 two. Both: (1, 2) two, (1, 3) one, (2, 3) one.
KNN = [[(1, 9), (2, 8)], [(1, 9), (2, 8), (3, 7), (1, 6)], [(1, 3)], [(3, 2)]]


def test_item_knn_by_hand(tmp_path: Path) -> None:
    histories = write(tmp_path, KNN, 4)
    model = computed("item_knn", histories, knn_neighbours=1, knn_shrinkage=1.0)
    assert isinstance(model, ItemToItem)
    items, candidates = torch.arange(1, 5)[:, None], torch.arange(1, 5)[None]
    one, third = 2 / (math.sqrt(6) + 1), 1 / 3
    # The nearest neighbour of 1 is 2, of 2 is 1, of 3 is 2 (1/3 against 1 / (sqrt 6 + 1)); nobody bought 4.
    expected = torch.tensor([[0, one, 0, 0], [one, 0, third, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    assert torch.allclose(model.lookup(items, candidates), expected)
    scores = model.score(histories.batch(np.array([1, 3])))
    assert torch.allclose(scores[0, :3], torch.tensor([one, one, third]))
    # What no holding speaks for stands below, by the number of buyers: 3, 2, 2 and 0 of at most 3.
    assert scores[0, 3].item() == -1.0
    assert scores[1].tolist() == pytest.approx([3 / 4 - 1, 2 / 4 - 1, 2 / 4 - 1, -1.0])
    two = computed("item_knn", histories, knn_neighbours=2, knn_shrinkage=1.0)
    batch = histories.batch(np.array([0]))
    weights = two.attention(batch, torch.tensor([[3, 4]]))
    other = 1 / (math.sqrt(6) + 1)
    assert torch.allclose(weights[0, 0], torch.tensor([other, third]) / (other + third))
    assert weights[0, 1].tolist() == [0.0, 0.0]


def test_long_histories_are_scored_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(2)
    rows = [[(int(i), int(9 - p)) for p, i in enumerate(generator.integers(1, 12, size=6))] for _ in range(20)]
    histories = write(tmp_path, [*rows, []], 12)
    model = computed("item_knn", histories)
    batch = histories.batch(np.arange(21))
    whole = model.score(batch)
    for entries in (1, 7, 40):
        monkeypatch.setattr("lightning_modules.item_to_item.MOST_ENTRIES", entries)
        assert torch.allclose(model.score(batch), whole)
    assert model.score(histories.batch(np.array([20]))).isfinite().all()


MARKOV = [[(1, 10), (2, 8), (3, 5)], [(1, 9), (3, 2)]]


def test_markov_by_hand(tmp_path: Path) -> None:
    histories = write(tmp_path, [*MARKOV, [(1, 3), (2, 1)]], 3)
    alone = write(tmp_path / "alone", MARKOV, 3)
    model = computed("markov", alone, markov_steps=2, markov_step_decay=0.5)
    assert isinstance(model, ItemToItem)
    # From 1: to 2 once at one step (1), to 3 once at one step (1) and once at two (1/2). From 2: to 3.
    table = model.lookup(torch.arange(1, 4)[:, None], torch.arange(1, 4)[None])
    assert torch.allclose(table, torch.tensor([[0, 0.4, 0.6], [0, 0, 1.0], [0, 0, 0]]))
    batch = histories.batch(np.array([2]))
    # The last event counts 1, the one before it 1/2. Two of the two customers bought 1.
    assert model.score(batch)[0].tolist() == pytest.approx([2 / 3 - 1, 0.5 * 0.4, 1.0 + 0.5 * 0.6])
    weights = model.attention(batch, torch.tensor([[3, 2]]))
    assert torch.allclose(weights[0], torch.tensor([[0.3 / 1.3, 1 / 1.3], [1.0, 0.0]]))


def test_markov_decays_in_days_too(tmp_path: Path) -> None:
    histories = write(tmp_path, MARKOV, 3)
    model = computed("markov", histories, markov_steps=2, markov_step_decay=0.5, markov_half_life_days=4.0)
    assert isinstance(model, ItemToItem)
    to_two, to_three = 2 ** (-2 / 4), 2 ** (-7 / 4) + 0.5 * 2 ** (-5 / 4)
    table = model.lookup(torch.tensor([1, 1]), torch.tensor([2, 3]))
    assert table.tolist() == pytest.approx([to_two / (to_two + to_three), to_three / (to_two + to_three)])
    batch = histories.batch(np.array([1]))
    assert model.event_weights(batch)[0].tolist() == pytest.approx([0.5 * 2 ** (-9 / 4), 2 ** (-2 / 4)])


def test_markov_counts_a_first_purchase_only_and_reads_its_last_steps_only(tmp_path: Path) -> None:
    histories = write(tmp_path, [[(1, 9), (2, 8), (1, 7), (3, 6)]], 3)
    model = computed("markov", histories, markov_steps=1, markov_step_decay=0.5)
    assert isinstance(model, ItemToItem)
    table = model.lookup(torch.arange(1, 4)[:, None], torch.arange(1, 4)[None])
    # 2 -> 1 is a repeat and is not asked for.
    assert torch.allclose(table, torch.tensor([[0, 0.5, 0.5], [0, 0, 0], [0, 0, 0.0]]))
    assert model.event_weights(histories.batch(np.array([0])))[0].tolist() == [0.0, 0.0, 0.0, 1.0]


def ease_again(bought: np.ndarray, ridge: float) -> np.ndarray:
    """Steck 2019, algorithm 1, written again: one linear regression per column with the item itself left out."""
    n = bought.shape[1]
    weights = np.zeros((n, n))
    for c in range(n):
        rest = [i for i in range(n) if i != c]
        left, right = bought[:, rest], bought[:, c]
        weights[rest, c] = np.linalg.solve(left.T @ left + ridge * np.eye(n - 1), left.T @ right)
    return weights


@pytest.mark.parametrize("ridge", [0.5, 20.0])
def test_ease_is_a_ridge_regression_of_each_item_on_the_others(ridge: float, tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    rows = [[(int(i), int(9 - p)) for p, i in enumerate(generator.integers(1, 8, size=6))] for _ in range(30)]
    histories = write(tmp_path, rows, 7)
    bought = np.zeros((30, 7))
    for row, events in enumerate(rows):
        bought[row, [item - 1 for item, _ in events]] = 1
    assert (interactions(histories).toarray() == bought).all()
    model = computed("ease", histories, ease_ridge=ridge)
    assert isinstance(model, EASE)
    expected = ease_again(bought, ridge)
    assert np.allclose(model.weights.numpy(), expected, atol=1e-6)
    batch = histories.batch(np.arange(30))
    assert np.allclose(model.score(batch).numpy(), bought @ expected, atol=1e-6)
    # The contributions of a customer's holdings are his score, and attention their positive part's shares.
    terms = expected[[item - 1 for item, _ in rows[0]], 2]
    weights = model.attention(batch, torch.full((30, 1), 3))[0, 0].numpy()
    counted = [item not in [later for later, _ in rows[0][place + 1 :]] for place, (item, _) in enumerate(rows[0])]
    positive = np.where(counted, np.clip(terms, 0, None), 0)
    assert np.allclose(weights, positive / positive.sum(), atol=1e-6)


def test_ease_refuses_a_catalogue_that_its_table_could_not_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    histories = write(tmp_path, [[(1, 1)]], 6)
    monkeypatch.setattr("lightning_modules.ease.MOST_ITEMS", 5)
    with pytest.raises(TrainingError, match="6 are more than 5") as caught:
        computed("ease", histories)
    assert "item_knn or markov" in str(caught.value)


def test_bpr_draws_no_negative_that_is_owned_and_leaves_out_who_owns_everything(tmp_path: Path) -> None:
    histories = write(tmp_path, [[(1, 3), (2, 2)], [(1, 2), (2, 1), (3, 1)]], 3)
    torch.manual_seed(0)
    model = MatrixFactorisation(ModelSpec(kind="bpr_mf", dim=2, bpr_ridge=0.1), histories)
    examples = PurchaseExamples(histories, 5, None)
    with torch.no_grad():
        person, items = model.people.weight, model.items.weight
        model.bias.copy_(torch.tensor([0.5, 0.0, -1.0]))
        scores = model.score(histories.batch(np.array([0])))[0]
        # Customer 0 can only be given item 3; customer 1 owns all and plays no part.
        size = [float((person[0] ** 2 + items[c] ** 2 + items[2] ** 2).sum()) for c in (0, 1)]
        wanted = [math.log1p(math.exp(float(scores[2] - scores[c]))) + 0.1 * size[c] for c in (0, 1)]
        alone, both = examples[np.array([0, 1])], examples[np.arange(5)]
        assert model.loss(alone).item() == pytest.approx(sum(wanted) / 2, rel=1e-5)
        assert model.loss(both).item() == pytest.approx(sum(wanted) / 2, rel=1e-5)
        assert model.loss(examples[np.array([2, 3, 4])]).item() == 0.0


def test_a_customer_without_purchases_gets_the_biases_of_bpr(tmp_path: Path) -> None:
    histories = write(tmp_path, [[(1, 3)], []], 3)
    model = MatrixFactorisation(ModelSpec(kind="bpr_mf", dim=2), histories)
    model.prepare(histories, None)
    with torch.no_grad():
        model.bias.copy_(torch.tensor([0.5, 0.0, -1.0]))
        assert model.score(histories.batch(np.array([1])))[0].tolist() == [0.5, 0.0, -1.0]


def test_the_latest_event_of_each_item() -> None:
    items = torch.tensor([[3, 1, 3, 0], [0, 0, 0, 0]])
    assert latest_of_each(items).tolist() == [[False, True, True, False], [False] * 4]
    assert latest_of_each(torch.zeros(0, 1, dtype=torch.int64)).shape == (0, 1)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-5, 5, width=32), min_size=1, max_size=6))
def test_shares_are_of_the_positive_part(terms: list[float]) -> None:
    found = shares(torch.tensor(terms))
    assert (found >= 0).all()
    assert (found[torch.tensor(terms) <= 0] == 0).all()
    assert float(found.sum()) == pytest.approx(1.0 if max(terms) > 0 else 0.0, abs=1e-5)
