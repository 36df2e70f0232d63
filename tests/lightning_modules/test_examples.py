"""Training examples: the target is hidden, nothing later is read, and the order depends on seed and epoch alone."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch

from lightning_modules.examples import (
    LengthBuckets,
    PurchaseExamples,
    SequenceExamples,
    owned_columns,
    target_weights,
)
from lightning_modules.holders import most_recent_holders
from lightning_modules.popularity import log_popularity, popularity_scores
from tests.lightning_modules.small_histories import CUT_DAY, write

ROWS = [[(2, 90), (1, 90), (2, 30), (3, 0)], [], [(3, 30)]]


def test_purchase_examples_of_literal_rows(tmp_path: Path) -> None:
    examples = PurchaseExamples(write(tmp_path, ROWS, 3), max_length=5, half_life_days=30.0)
    assert len(examples) == 4  # the repeat purchase of item 2 is no target
    batch = examples[np.arange(4)]
    assert batch.targets.tolist() == [1, 0, 2, 2]
    # Same-day purchases see each other, never themselves; later ones are not read.
    assert [sorted(set(row) - {0}) for row in batch.history.items.tolist()] == [[1], [2], [1, 2], []]
    assert batch.history.now.tolist() == [CUT_DAY - 90, CUT_DAY - 90, CUT_DAY, CUT_DAY - 30]
    assert [sorted(set(row) - {0}) for row in batch.owned.tolist()] == [[1, 2, 3]] * 3 + [[3]]
    assert examples.chances.tolist() == pytest.approx([0.125, 0.125, 1.0, 0.5])
    # What is drawn with the probability of its weight counts as one.
    assert batch.weights.tolist() == pytest.approx([1.0] * 4)


def test_an_old_purchase_is_drawn_rarely_but_weighs_what_it_should(tmp_path: Path) -> None:
    examples = PurchaseExamples(write(tmp_path, [[(1, 300)], [(1, 0)]], 1), 5, half_life_days=30.0)
    weight = 0.5**10
    assert examples.chances.tolist() == pytest.approx([0.02, 1.0])
    drawn = examples[np.arange(2)].weights * examples.chances
    assert drawn.tolist() == pytest.approx([weight, 1.0])


def test_a_long_history_keeps_its_most_recent_events(tmp_path: Path) -> None:
    examples = PurchaseExamples(write(tmp_path, [[(i, 10 - i) for i in range(1, 7)]], 6), 2, None)
    batch = examples[np.array([5, 2])]
    assert batch.targets.tolist() == [5, 2]
    assert [[i for i in row if i] for row in batch.history.items.tolist()] == [[4, 5], [1, 2]]


def test_sequence_examples_of_literal_rows(tmp_path: Path) -> None:
    examples = SequenceExamples(write(tmp_path, ROWS, 3), max_length=5, half_life_days=30.0)
    assert examples.customers.tolist() == [0, 2]
    batch = examples[np.array([0, 1])]
    assert batch.history.items.tolist() == [[2, 1, 2, 3], [3, 0, 0, 0]]
    assert batch.targets.tolist() == [[1, 0, 1, 2], [2, 0, 0, 0]]
    expected = [[0.125, 0.125, 0.0, 1.0], [1.0, 0.0, 0.0, 0.0]]
    assert torch.allclose(batch.weights, torch.tensor(expected))
    assert examples.chances.tolist() == pytest.approx([1.0, 0.5])
    assert batch.to("cpu").targets.tolist() == batch.targets.tolist()


def test_a_sequence_whose_targets_were_all_cut_off_is_no_example(tmp_path: Path) -> None:
    histories = write(tmp_path, [[(1, 9), (1, 8), (1, 7), (1, 6)], [(2, 9)]], 2)
    assert SequenceExamples(histories, max_length=2, half_life_days=None).customers.tolist() == [1]


def test_target_weights_and_owned_columns(tmp_path: Path) -> None:
    histories = write(tmp_path, ROWS, 3)
    assert target_weights(histories, None).tolist() == [1, 1, 0, 1, 1]
    assert owned_columns(torch.tensor([[3, 1, 3], [0, 0, 0]]), 4).tolist() == [[True, False, True, False], [False] * 4]


def test_buckets_repeat_by_seed_and_epoch_and_cover_everything() -> None:
    lengths = np.arange(1000) % 7
    ones = torch.ones(1000)

    def order(seed: int, epoch: int) -> list[list[int]]:
        buckets = LengthBuckets(lengths, ones, 32, seed)
        buckets.set_epoch(epoch)
        assert len(list(buckets)) == len(buckets) == 32
        return [batch.tolist() for batch in buckets]

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1)
    assert order(1, 0) != order(2, 0)
    assert sorted(chain.from_iterable(order(1, 3))) == list(range(1000))
    # Similar lengths: all but the batches at a border hold at most two different ones.
    assert max(len(set(lengths[batch])) for batch in order(1, 0)) <= 2


def test_buckets_draw_by_chance_the_same_number_every_epoch() -> None:
    chances = torch.tensor([1.0] * 50 + [0.1] * 500)
    buckets = LengthBuckets(np.zeros(550, np.int64), chances, 16, seed=0)
    drawn = []
    for epoch in range(40):
        buckets.set_epoch(epoch)
        epoch_draw = np.concatenate(list(buckets))
        assert len(epoch_draw) == 100
        drawn.append(np.bincount(epoch_draw, minlength=550))
    assert np.stack(drawn)[:, :50].min() == 1
    assert np.stack(drawn)[:, 50:].mean() == pytest.approx(0.1)
    assert np.stack(drawn)[:, 50:].sum(0).max() < 20


def test_holders_are_the_most_recent_ones_of_items_with_two(tmp_path: Path) -> None:
    rows = [[(1, 9), (2, 5)], [(1, 7)], [(2, 9), (1, 8), (3, 2)], []]
    holders = most_recent_holders(write(tmp_path, rows, 4), cap=2)
    assert holders.columns.tolist() == [0, 1]  # item 3 has one holder, item 4 none
    named = holders.customers[holders.slots].tolist()
    assert named == [[1, 2], [0, 2]]
    assert holders.real.tolist() == [[True, True], [True, True]]
    bags = dict(zip(holders.customers.tolist(), torch.tensor_split(holders.items, holders.starts[1:]), strict=True))
    assert {customer: sorted(bag.tolist()) for customer, bag in bags.items()} == {0: [1, 2], 1: [1], 2: [1, 2, 3]}


def test_nobody_is_asked_where_the_cap_is_zero(tmp_path: Path) -> None:
    assert len(most_recent_holders(write(tmp_path, [[(1, 9)], [(1, 7)]], 1), cap=0).columns) == 0


def test_popularity_counts_distinct_buyers(tmp_path: Path) -> None:
    histories = write(tmp_path, ROWS, 4)
    assert popularity_scores(histories).tolist() == [1, 1, 2, 0]
    assert popularity_scores(histories, since_day=CUT_DAY - 30).tolist() == [0, 1, 2, 0]
    start = log_popularity(histories, 30.0)
    assert start[2] > start[0] == start[1] > start[3]
    assert start.isfinite().all()


def test_popularity_of_nothing(tmp_path: Path) -> None:
    histories = write(tmp_path, [[]], 2)
    assert popularity_scores(histories).tolist() == [0, 0]
    assert log_popularity(histories, None).tolist() == [0, 0]
