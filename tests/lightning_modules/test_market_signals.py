"""Signals of a market against numbers worked out by hand; nothing dated later may reach them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lightning_modules.anchors import AnchorBatches, AnchorExamples, anchor_days
from lightning_modules.market_signals import HOLDING_SIGNALS, ITEM_SIGNALS, held_weights, market_before, profile_groups
from tests.lightning_modules.small_histories import CUT_DAY, planted_market, write

# Customer: (item, days before the cut). The first day of all, 100 days before, is stock.
MARKET = [
    [(1, 100), (2, 50)],
    [(1, 100), (2, 20)],
    [(1, 90), (3, 5)],
    [(2, 100)],
]


def test_counts_leave_out_the_first_day_and_what_comes_later(tmp_path: Path) -> None:
    market = market_before(write(tmp_path, MARKET, 4), CUT_DAY - 10)
    item = {name: market.item[:, column] for column, name in enumerate(ITEM_SIGNALS)}
    # Known before day -10: 1 by three (two of them stock), 2 by three (one stock); 3 is bought later, 4 never.
    assert torch.allclose(item["buyers"], torch.log1p(torch.tensor([3.0, 3, 0, 0])))
    assert torch.allclose(item["buyers since the first day"], torch.log1p(torch.tensor([1.0, 2, 0, 0])))
    # In the 60 days before day -10: 2 twice. Shares with 0.3 prior each: (2.3, 0.3) of 2 + 4 * 0.3, times 4.
    expected = torch.log(torch.tensor([0.3, 2.3, 0.3, 0.3]) / 3.2 * 4)
    assert torch.allclose(item["buyers 60 days"], expected)
    assert torch.allclose(item["days since last bought"], torch.log1p(torch.tensor([80.0, 10, 2000, 2000])))
    assert market.known.tolist() == [True, True, False, False]


def test_item_to_item_tables_by_hand(tmp_path: Path) -> None:
    market = market_before(write(tmp_path, MARKET, 4), CUT_DAY + 1)
    held = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 0]], float)
    inverse = np.linalg.inv(held.T @ held + 300 * np.eye(4))
    ease = -inverse / np.diag(inverse)
    np.fill_diagonal(ease, 0)
    table = dict(zip(HOLDING_SIGNALS, market.holding.numpy(), strict=True))
    np.testing.assert_allclose(table["EASE 300"], ease, atol=1e-6)
    # 1 and 2 are held together by two of three and three owners; nobody counts twice.
    assert table["cosine"][0, 1] == pytest.approx(2 / np.sqrt(9 + 50))
    # Of three owners of 1, two bought 2 after the first day, shrunk by 20.
    assert table["owners who bought it"][0, 1] == pytest.approx(2 / 23)
    for values in table.values():
        assert (np.diag(values) == 0).all()


def test_a_purchase_on_the_day_itself_or_later_changes_nothing(tmp_path: Path) -> None:
    before = market_before(write(tmp_path / "a", MARKET, 4), CUT_DAY - 20)
    later = [*MARKET[:3], [(2, 100), (4, 20), (3, 1)]]
    after = market_before(write(tmp_path / "b", later, 4), CUT_DAY - 20)
    for name in ("item", "holding", "profile", "known"):
        assert torch.equal(getattr(before, name), getattr(after, name)), name


def test_held_weights_take_the_age_of_the_first_purchase() -> None:
    items = torch.tensor([[2, 2, 0], [0, 0, 0]])
    days = torch.tensor([[CUT_DAY - 180, CUT_DAY - 1, 0], [0, 0, 0]])
    held, recent = held_weights(items, days, torch.tensor([CUT_DAY, CUT_DAY]), 3)
    assert held.tolist() == [[0, 1, 0], [0, 0, 0]]
    assert recent.tolist() == [[0, pytest.approx(0.15 + 0.85 / 2), 0], [0, 0, 0]]


def test_an_unknown_value_is_no_trait() -> None:
    names = ("risk=low", "age", "risk=not_available", "type=mass", "risk=high")
    assert profile_groups(names) == {"risk": [0, 4], "type": [3]}


def test_anchors_end_their_horizon_on_the_cut_and_leave_time_to_learn_from() -> None:
    assert anchor_days(cut_day=1000, first_day=700, horizon=100, anchors=8, spacing=50) == [901, 851, 801, 751]


def test_examples_read_only_what_is_dated_before_their_anchor(tmp_path: Path) -> None:
    histories, _ = planted_market(tmp_path, customers=300)
    asked = anchor_days(CUT_DAY, int(histories.days.min()), 60, 4, 30)
    examples = AnchorExamples(histories, asked, 60)
    assert len(asked) == 4
    assert len(examples) > 200
    batches = AnchorBatches(examples.anchors, 32, seed=3)
    seen = np.concatenate(list(batches))
    assert sorted(seen) == list(range(len(examples)))
    for index in batches:
        batch = examples[index]
        anchor = batch.history.now[0]
        assert bool((batch.history.now == anchor).all())
        assert bool((batch.history.days[batch.history.mask] < anchor).all())
        assert bool((batch.history.mask.sum(1) > 0).all())
        assert torch.allclose(batch.weights.sum(1), torch.ones(len(index)))
        for row, customer in enumerate(batch.history.customers.tolist()):
            start, end = histories.offsets[customer : customer + 2].tolist()
            days, items = histories.days[start:end], histories.items[start:end]
            due = (days >= anchor) & (days < anchor + 60)
            real = batch.targets[row][batch.weights[row] > 0] + 1
            assert set(real.tolist()) <= set(items[due].tolist())
            assert not set(real.tolist()) & set(items[days < anchor].tolist())
