"""The attention table says what a model attended to; faithfulness can come out either way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from lightning_modules.explanations import attention_table, erase, faithfulness
from lightning_modules.histories import Histories, HistoryBatch
from tests.lightning_modules.small_histories import CUT_DAY, write

ROWS = [[(2, 9), (1, 8), (2, 3)], [], [(3, 1)]]


class FixedAttention:
    """Attends with weight proportional to ``sign`` * item; candidate 1 scores the largest item that is left."""

    examples = "purchases"

    def __init__(self, sign: float = 1.0) -> None:
        self.sign = sign

    def score(self, batch: HistoryBatch) -> Tensor:
        return torch.nn.functional.one_hot(torch.zeros(len(batch.items), dtype=torch.int64), 9) * (
            batch.items.max(1).values[:, None].float()
        )

    def attention(self, batch: HistoryBatch, candidates: Tensor) -> Tensor:
        weights = torch.softmax((self.sign * batch.items.float()).masked_fill(~batch.mask, -1e9), 1) * batch.mask
        return weights[:, None, :].expand(-1, candidates.shape[1], -1)

    prepare = loss = None


class EvenAttention(FixedAttention):
    """Every event alike."""

    def attention(self, batch: HistoryBatch, candidates: Tensor) -> Tensor:
        weights = batch.mask / batch.mask.sum(1, keepdim=True).clamp_min(1)
        return weights[:, None, :].expand(-1, candidates.shape[1], -1)


def test_a_literal_attention_table(tmp_path: Path) -> None:
    histories = write(tmp_path, ROWS, 3)
    candidates = np.array([[3, 1], [1, 2], [2, 0]])
    table = attention_table(EvenAttention(), histories, np.arange(3), candidates)  # type: ignore[arg-type]
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
    table = attention_table(EvenAttention(), histories, np.array([0]), np.array([[3]]), keep=1)  # type: ignore[arg-type]
    assert table["item"].to_pylist() == [2]


def test_truncation_reads_what_the_model_read(tmp_path: Path) -> None:
    histories = write(tmp_path, ROWS, 3)
    table = attention_table(EvenAttention(), histories, np.array([0]), np.array([[3]]), 2)  # type: ignore[arg-type]
    assert table["weight"].to_pylist() == [0.5, 0.5]


def test_nobody_gives_an_empty_table(tmp_path: Path) -> None:
    histories = write(tmp_path, ROWS, 3)
    none = np.zeros(0, np.int64)
    table = attention_table(EvenAttention(), histories, none, np.zeros((0, 1), np.int64))  # type: ignore[arg-type]
    assert table.num_rows == 0


def test_erasing_closes_the_gap(tmp_path: Path) -> None:
    batch = write(tmp_path, [[(2, 9), (1, 8), (2, 3), (3, 1)], [(2, 5)], [(1, 4), (3, 2)]], 3).batch(np.arange(3))
    erased = erase(batch, torch.tensor([2, 2, 1]))
    assert erased.items.tolist() == [[1, 3, 0, 0], [0, 0, 0, 0], [3, 0, 0, 0]]
    assert erased.days.tolist() == [[CUT_DAY - 8, CUT_DAY - 1, 0, 0], [0] * 4, [CUT_DAY - 2, 0, 0, 0]]
    assert erased.lengths.tolist() == [2, 0, 1]


@pytest.fixture
def many(tmp_path: Path) -> Histories:
    generator = np.random.default_rng(0)
    rows = [[(int(i), 5) for i in generator.choice(8, 4, replace=False) + 1] for _ in range(60)]
    return write(tmp_path, rows, 9)


def test_attention_on_what_matters_is_better_than_random(many: Histories) -> None:
    verdict = faithfulness(FixedAttention(), many, np.arange(60), np.full((60, 2), 1), seed=1)  # type: ignore[arg-type]
    assert verdict["n_pairs"] == 120
    assert verdict["n_customers"] == 60
    assert verdict["mean_drop_attended"] > 0
    assert verdict["mean_drop_random"] == pytest.approx(0)
    assert verdict["ci_low"] > 0
    assert verdict["share_attended_larger"] == 1.0
    assert verdict["better_than_random"] is True


def test_attention_on_what_does_not_matter_is_not(many: Histories) -> None:
    model = FixedAttention(sign=-1.0)
    verdict = faithfulness(model, many, np.arange(60), np.full((60, 1), 1), seed=1)  # type: ignore[arg-type]
    assert verdict["mean_difference"] < 0
    assert verdict["better_than_random"] is False


def test_faithfulness_repeats_by_seed(many: Histories) -> None:
    asked = (many, np.arange(60), np.full((60, 1), 1))
    first = faithfulness(EvenAttention(), *asked, seed=4)  # type: ignore[arg-type]
    assert first == faithfulness(EvenAttention(), *asked, seed=4)  # type: ignore[arg-type]
    assert first != faithfulness(EvenAttention(), *asked, seed=5)  # type: ignore[arg-type]


def test_without_a_customer_of_two_holdings_nothing_is_claimed(tmp_path: Path) -> None:
    histories = write(tmp_path, [[], [(2, 3), (2, 1)]], 9)
    verdict = faithfulness(EvenAttention(), histories, np.arange(2), np.full((2, 1), 1), seed=0)  # type: ignore[arg-type]
    assert verdict["n_pairs"] == 0
    assert verdict["mean_difference"] is None
    assert verdict["better_than_random"] is False
