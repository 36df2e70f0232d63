"""Ranks over the full catalogue: literal answers, and brute force on random scores with ties."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lightning_modules.evaluation import rank_tables
from lightning_modules.histories import HistoryBatch
from tests.lightning_modules.small_histories import write

ROWS = [[(1, 9)], [(2, 9), (3, 8)], []]
SCORES = torch.tensor(
    [
        [9.0, 0.5, 0.5, 0.1, 0.5],
        [0.3, 9.0, 9.0, 0.3, 0.2],
        [0.0, 0.0, 0.0, 0.0, 1.0],
    ]
)


def literal(batch: HistoryBatch) -> torch.Tensor:
    return SCORES[batch.customers]


def test_literal_rows(tmp_path: Path) -> None:
    histories = write(tmp_path, ROWS, 5)
    ranks, top = rank_tables(literal, histories, np.array([1, 0, 0, 0]), np.array([4, 4, 3, 3]), k=3)
    assert ranks.to_pylist() == [
        {"customer": 0, "item": 3, "greater": 0, "ties": 2, "rank": 2, "n_candidates": 4, "n_relevant": 2},
        {"customer": 0, "item": 4, "greater": 3, "ties": 0, "rank": 4, "n_candidates": 4, "n_relevant": 2},
        {"customer": 1, "item": 4, "greater": 0, "ties": 1, "rank": 2, "n_candidates": 3, "n_relevant": 1},
    ]
    listed = [(r["customer"], r["rank"], r["item"], r["relevant"]) for r in top.to_pylist()]
    assert listed == [
        (0, 1, 2, False),
        (0, 2, 3, True),
        (0, 3, 5, False),
        (1, 1, 1, False),
        (1, 2, 4, True),
        (1, 3, 5, False),
    ]
    assert top["score"].to_pylist() == pytest.approx([0.5, 0.5, 0.5, 0.3, 0.3, 0.2])


def test_history_is_a_candidate_only_if_asked(tmp_path: Path) -> None:
    histories = write(tmp_path, ROWS, 5)
    with pytest.raises(ValueError, match=r"1 relevant pair\(s\) are already in the customer's history"):
        rank_tables(literal, histories, np.array([0]), np.array([1]))
    ranks, top = rank_tables(literal, histories, np.array([0]), np.array([1]), k=2, exclude_history=False)
    assert ranks["rank"].to_pylist() == [1]
    assert ranks["n_candidates"].to_pylist() == [5]
    assert top["item"].to_pylist() == [1, 2]


def test_truncation_for_the_score_does_not_touch_what_is_excluded(tmp_path: Path) -> None:
    histories = write(tmp_path, [[(1, 9), (2, 8), (3, 7)]], 5)
    widths = []

    def score(batch: HistoryBatch) -> torch.Tensor:
        widths.append(batch.items.shape[1])
        return torch.zeros(1, 5)

    ranks, _ = rank_tables(score, histories, np.array([0]), np.array([5]), max_length=1)
    assert widths == [1]
    assert ranks["n_candidates"].to_pylist() == [2]


def test_a_customer_who_owns_all_but_one_gets_one_row(tmp_path: Path) -> None:
    histories = write(tmp_path, [[(1, 9), (2, 8)]], 3)
    _, top = rank_tables(lambda batch: torch.zeros(1, 3), histories, np.array([0]), np.array([3]), k=10)
    assert top["item"].to_pylist() == [3]


def test_refusals(tmp_path: Path) -> None:
    histories = write(tmp_path, ROWS, 5)
    with pytest.raises(ValueError, match=r"outside 0\.\.2"):
        rank_tables(literal, histories, np.array([3]), np.array([1]))
    with pytest.raises(ValueError, match=r"outside 1\.\.5"):
        rank_tables(literal, histories, np.array([0]), np.array([0]))
    with pytest.raises(ValueError, match=r"1 customer\(s\) of a batch have NaN scores"):
        rank_tables(lambda batch: torch.full((1, 5), float("nan")), histories, np.array([0]), np.array([4]))


def test_nothing_relevant_gives_empty_tables(tmp_path: Path) -> None:
    none = np.zeros(0, np.int64)
    ranks, top = rank_tables(literal, write(tmp_path, ROWS, 5), none, none)
    assert ranks.num_rows == top.num_rows == 0
    assert ranks.column_names[:2] == ["customer", "item"]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000), batch_size=st.integers(1, 9))
def test_ranks_equal_brute_force(tmp_path: Path, seed: int, batch_size: int) -> None:
    generator = np.random.default_rng(seed)
    owned = [sorted(generator.choice(8, size=generator.integers(0, 5), replace=False) + 1) for _ in range(7)]
    histories = write(tmp_path, [[(int(item), 5) for item in row] for row in owned], 8)
    scores = torch.from_numpy(generator.integers(0, 4, size=(7, 8)).astype(np.float32))
    pairs = [(c, int(i)) for c in range(7) for i in generator.permutation(8)[:3] + 1 if i not in owned[c]]
    ranks, top = rank_tables(
        lambda batch: scores[batch.customers],
        histories,
        np.array([c for c, _ in pairs]),
        np.array([i for _, i in pairs]),
        k=4,
        batch_size=batch_size,
    )
    assert [(r["customer"], r["item"]) for r in ranks.to_pylist()] == sorted(pairs)
    for row in ranks.to_pylist():
        own = float(scores[row["customer"], row["item"] - 1])
        others = [i for i in range(1, 9) if i not in owned[row["customer"]] and i != row["item"]]
        values = {i: float(scores[row["customer"], i - 1]) for i in others}
        assert row["greater"] == sum(v > own for v in values.values())
        assert row["ties"] == sum(v == own for v in values.values())
        assert row["rank"] == 1 + row["greater"] + sum(v == own and i < row["item"] for i, v in values.items())
        assert row["n_candidates"] == len(others) + 1
    for customer in {c for c, _ in pairs}:
        free = [i for i in range(1, 9) if i not in owned[customer]]
        best = sorted(free, key=lambda i: (-float(scores[customer, i - 1]), i))[:4]
        assert [r["item"] for r in top.to_pylist() if r["customer"] == customer] == best
