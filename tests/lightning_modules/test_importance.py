"""What each holding counts, by a model's own weights and by leaving it out, with exact answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from lightning_modules.erasure import only, rescored
from lightning_modules.family import FAMILY, build_ranker
from lightning_modules.histories import HistoryBatch
from lightning_modules.importance import leave_one_out, leave_one_out_table, measured_holdings, weights_table
from lightning_modules.settings import WITHOUT_WEIGHTS, ModelKind, ModelSpec
from tests.lightning_modules.small_histories import CUT_DAY, write

ROWS = [[(2, 9), (1, 8), (2, 3)], [], [(3, 1)]]


class SumOfHoldings:
    """Candidate c scores the sum of worth[item, c] over distinct items held; attends to every event alike."""

    examples = "purchases"

    def __init__(self, worth: list[list[float]]) -> None:
        self.worth = torch.tensor(worth)
        self.scored = 0

    def score(self, batch: HistoryBatch) -> Tensor:
        self.scored += len(batch.items)
        held = torch.zeros(len(batch.items), len(self.worth) + 1).scatter(1, batch.items, 1.0)[:, 1:]
        return held @ self.worth

    def attention(self, batch: HistoryBatch, candidates: Tensor) -> Tensor:
        weights = batch.mask / batch.mask.sum(1, keepdim=True).clamp_min(1)
        return weights[:, None, :].expand(-1, candidates.shape[1], -1)

    prepare = loss = None


WORTH = [[0.0, 0.0, 3.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]


def test_a_literal_table_of_weights(tmp_path: Path) -> None:
    histories = write(tmp_path, ROWS, 3)
    candidates = np.array([[3, 1], [1, 2], [2, 0]])
    table = weights_table(SumOfHoldings(WORTH), histories, np.arange(3), candidates)  # type: ignore[arg-type]
    rows = [(r["customer"], r["candidate"], r["item"], CUT_DAY - r["day"], r["weight"]) for r in table.to_pylist()]
    third = pytest.approx(1 / 3)
    # Item 2 was bought twice: its weights are summed and its day is the later one. Candidate 0 is none.
    assert rows == [
        (0, 3, 2, 3, pytest.approx(2 / 3)),
        (0, 3, 1, 8, third),
        (0, 1, 2, 3, pytest.approx(2 / 3)),
        (0, 1, 1, 8, third),
        (2, 2, 3, 1, 1.0),
    ]


def test_only_the_heaviest_holdings_are_kept(tmp_path: Path) -> None:
    histories = write(tmp_path, ROWS, 3)
    table = weights_table(SumOfHoldings(WORTH), histories, np.array([0]), np.array([[3]]), keep=1)  # type: ignore[arg-type]
    assert table["item"].to_pylist() == [2]


def test_truncation_reads_what_the_model_read(tmp_path: Path) -> None:
    histories = write(tmp_path, ROWS, 3)
    table = weights_table(SumOfHoldings(WORTH), histories, np.array([0]), np.array([[3]]), 2)  # type: ignore[arg-type]
    assert table["weight"].to_pylist() == [0.5, 0.5]


def test_nobody_gives_an_empty_table(tmp_path: Path) -> None:
    histories = write(tmp_path, ROWS, 3)
    none, model = np.zeros(0, np.int64), SumOfHoldings(WORTH)
    for table in (weights_table, leave_one_out_table):
        assert table(model, histories, none, np.zeros((0, 1), np.int64)).num_rows == 0  # type: ignore[arg-type]


def test_leaving_a_holding_out_costs_what_it_brought(tmp_path: Path) -> None:
    batch = write(tmp_path, ROWS, 3).batch(np.array([0]))
    drops = leave_one_out(SumOfHoldings(WORTH), batch, torch.tensor([[3, 1]]))  # type: ignore[arg-type]
    # Events are items 2, 1, 2: item 1 stands at place 1, item 2 at its last event, place 2.
    whole = torch.tensor([0.0, 0.0, 4.0]).log_softmax(0)
    without_1, without_2 = torch.tensor([0.0, 0.0, 1.0]).log_softmax(0), torch.tensor([0.0, 0.0, 3.0]).log_softmax(0)
    assert drops[0, 0, 1] == pytest.approx(float(whole[2] - without_1[2]), abs=1e-6)
    assert drops[0, 0, 2] == pytest.approx(float(whole[2] - without_2[2]), abs=1e-6)
    assert drops[0, 1, 1] == pytest.approx(float(whole[0] - without_1[0]), abs=1e-6)
    assert torch.isnan(drops[0, :, 0]).all()


def test_shares_are_of_what_is_lost_and_gains_have_none(tmp_path: Path) -> None:
    histories = write(tmp_path, ROWS, 3)
    table = leave_one_out_table(SumOfHoldings(WORTH), histories, np.arange(3), np.array([[3, 1], [3, 0], [3, 0]]))  # type: ignore[arg-type]
    rows = [(r["customer"], r["candidate"], r["item"], r["weight"]) for r in table.to_pylist()]
    assert [row[:3] for row in rows] == [(0, 3, 1), (0, 3, 2), (0, 1, 1), (0, 1, 2), (2, 3, 3)]
    weights = [row[3] for row in rows]
    assert weights[0] + weights[1] == pytest.approx(1.0)
    assert weights[0] > 0.85
    # Candidate 1 only gains when either is left out, and item 3 says nothing: no share, not a share of nothing.
    assert weights[2:] == [0.0, 0.0, 0.0]


def test_only_the_most_recent_holdings_are_left_out(tmp_path: Path) -> None:
    batch = write(tmp_path, [[(1, 9), (2, 8), (1, 7), (3, 2)]], 3).batch(np.array([0]))
    assert measured_holdings(batch, 2).tolist() == [[False, False, True, True]]
    drops = leave_one_out(SumOfHoldings(WORTH), batch, torch.tensor([[3]]), most=2)  # type: ignore[arg-type]
    assert torch.isnan(drops[0, 0]).tolist() == [True, True, False, False]


def test_what_is_left_is_closed_up_and_narrow(tmp_path: Path) -> None:
    batch = write(tmp_path, [[(2, 9), (1, 8), (2, 3), (3, 1)], [(2, 5)], [(1, 4), (3, 2)]], 3).batch(np.arange(3))
    left = only(batch, batch.items != torch.tensor([2, 2, 1])[:, None])
    assert left.items.tolist() == [[1, 3], [0, 0], [3, 0]]
    assert left.days.tolist() == [[CUT_DAY - 8, CUT_DAY - 1], [0, 0], [CUT_DAY - 2, 0]]
    assert left.lengths.tolist() == [2, 0, 1]


def test_equal_questions_are_scored_once(tmp_path: Path) -> None:
    batch = write(tmp_path, ROWS, 3).batch(np.arange(3))
    model = SumOfHoldings(WORTH)
    row = torch.tensor([0, 0, 2, 0, 2])
    kept = torch.tensor([[1, 0, 1], [0, 1, 0], [0, 0, 0], [1, 0, 1], [0, 1, 1]], dtype=torch.bool)
    found = rescored(model, batch, torch.tensor([[3], [3], [3]]), row, kept)  # type: ignore[arg-type]
    assert model.scored == 3  # padding of customer 2 is no event, so his two questions are one
    assert found[0] == found[3]
    assert found[:, 0].tolist() == [
        pytest.approx(float(torch.tensor([0.0, 0.0, score]).log_softmax(0)[2])) for score in (1.0, 3.0, 0.0, 1.0, 0.0)
    ]


@pytest.mark.parametrize("kind", list(FAMILY))
def test_a_score_depends_on_holdings_exactly_where_the_family_says_so(kind: ModelKind, tmp_path: Path) -> None:
    rows = [[(1 + (c + step) % 6, 40 - step) for step in range(4)] for c in range(12)]
    histories = write(tmp_path, rows, 8)
    torch.manual_seed(0)
    model = build_ranker(ModelSpec(kind=kind, dim=8, max_length=10), histories)
    model.prepare(histories, None)
    model.eval()  # type: ignore[attr-defined]
    drops = leave_one_out(model, histories.batch(np.arange(12)), torch.full((12, 2), 7))
    assert bool((drops.nan_to_num(0.0).abs() > 1e-7).any()) == FAMILY[kind].reads_holdings


def test_kinds_without_weights_are_those_that_do_not_speak() -> None:
    assert set(WITHOUT_WEIGHTS) == {kind for kind, member in FAMILY.items() if member.speaks == "none"}
