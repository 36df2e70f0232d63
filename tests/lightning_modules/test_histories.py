"""Ragged histories: written, mapped and padded without losing or inventing an event."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_contracts.errors import TrainingError
from lightning_modules.days import days_since_epoch
from lightning_modules.histories import Histories
from lightning_modules.history_files import write_histories
from tests.lightning_modules.small_histories import CUT, CUT_DAY, write

ROWS = [[(2, 9), (1, 9), (2, 3)], [], [(3, 1)]]


def test_a_round_trip_of_literal_rows(tmp_path: Path) -> None:
    features = np.array([[1, 2], [3, 4], [5, 6]], np.float32)
    histories = write(tmp_path, ROWS, 3, features, features[:, :1])
    assert (histories.n_customers, histories.n_items, histories.n_events) == (3, 3, 4)
    assert histories.items.tolist() == [2, 1, 2, 3]
    assert histories.days.tolist() == [CUT_DAY - 9, CUT_DAY - 9, CUT_DAY - 3, CUT_DAY - 1]
    assert histories.first.tolist() == [1, 1, 0, 1]
    assert histories.offsets.tolist() == [0, 3, 3, 4]
    assert histories.item_features.tolist() == features.tolist()
    assert histories.customer_features.tolist() == [[1.0], [3.0], [5.0]]
    assert histories.asset_ids == ["A1", "A2", "A3"]
    assert histories.customer_ids == ["C0", "C1", "C2"]
    assert histories.cut == CUT
    assert days_since_epoch(date(1970, 1, 2)) == 1


def test_a_batch_of_literal_rows(tmp_path: Path) -> None:
    batch = write(tmp_path, ROWS, 3).batch(np.array([2, 0, 1]))
    assert batch.customers.tolist() == [2, 0, 1]
    assert batch.items.tolist() == [[3, 0, 0], [2, 1, 2], [0, 0, 0]]
    assert batch.days.tolist() == [[CUT_DAY - 1, 0, 0], [CUT_DAY - 9, CUT_DAY - 9, CUT_DAY - 3], [0, 0, 0]]
    assert batch.weights.tolist() == [[1, 0, 0], [1, 1, 1], [0, 0, 0]]
    assert batch.lengths.tolist() == [1, 3, 0]
    assert batch.mask.tolist() == [[True, False, False], [True] * 3, [False] * 3]
    assert batch.now.tolist() == [CUT_DAY] * 3
    assert batch.to("cpu").items.tolist() == batch.items.tolist()


def test_truncation_keeps_the_most_recent(tmp_path: Path) -> None:
    batch = write(tmp_path, ROWS, 3).batch(np.array([0]), max_length=2)
    assert batch.items.tolist() == [[1, 2]]
    assert batch.lengths.tolist() == [2]


def test_a_set_without_events_gives_padding(tmp_path: Path) -> None:
    histories = write(tmp_path, [[], []], 3)
    batch = next(histories.batches())
    assert batch.items.tolist() == [[0], [0]]
    assert batch.mask.sum() == 0


def test_tensors_are_views_of_the_files(tmp_path: Path) -> None:
    histories = write(tmp_path, ROWS, 3)
    # Nothing is copied at opening: two tensors of one column lie in one mapping, and the file's bytes hold the values.
    start, other = histories.items.data_ptr(), histories.days.data_ptr()
    size = (tmp_path / "events.arrow").stat().st_size
    assert abs(other - start) < size
    assert histories.items.numpy().tobytes() in (tmp_path / "events.arrow").read_bytes()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.lists(st.integers(1, 9), max_size=6), min_size=1, max_size=8),
    max_length=st.one_of(st.none(), st.integers(1, 7)),
    batch_size=st.integers(1, 5),
)
def test_batches_hold_every_recent_event_once(
    tmp_path: Path, rows: list[list[int]], max_length: int | None, batch_size: int
) -> None:
    histories = write(tmp_path, [[(item, 50 - place) for place, item in enumerate(row)] for row in rows], 9)
    seen = {}
    for batch in histories.batches(batch_size=batch_size, max_length=max_length):
        for row, customer in enumerate(batch.customers.tolist()):
            length = int(batch.lengths[row])
            seen[customer] = batch.items[row, :length].tolist()
            assert batch.items[row, length:].sum() == 0
            assert batch.mask[row].sum() == length
    kept = [row if max_length is None else row[-max_length:] for row in rows]
    assert seen == dict(enumerate(kept))


def test_batches_are_of_similar_length(tmp_path: Path) -> None:
    rows = [[(1, 5)] * (1 if place % 2 else 6) for place in range(8)]
    widths = [batch.items.shape[1] for batch in write(tmp_path, rows, 1).batches(batch_size=4)]
    assert widths == [1, 6]


def events(item: list[int], day: list[int]) -> pa.Table:
    count = len(item)
    return pa.table({"item": item, "day": day, "weight": [1.0] * count, "first": [True] * count})


@pytest.mark.parametrize(
    ("table", "offsets", "message"),
    [
        (events([1, 4], [5, 5]), [0, 1, 2], "items run from 1 to 4, outside 1..3"),
        (events([0, 1], [5, 5]), [0, 1, 2], "items run from 0 to 1, outside 1..3"),
        (events([1, 1], [5, CUT_DAY + 1]), [0, 1, 2], "1 event(s) lie after the cut 2020-01-31"),
        (events([1, 2], [6, 5]), [0, 2, 2], "a customer's events are not in time order"),
        (events([1, 2], [5, 5]), [0, 1], "2 offsets for 2 customers"),
        (events([1, 2], [5, 5]), [0, 2, 1], "offsets do not climb from 0 to 2"),
        (events([1, 2], [5, 5]).drop_columns("first"), [0, 1, 2], "events lack the column(s) first"),
        (events([1, None], [5, 5]), [0, 1, 2], "events hold nulls"),  # type: ignore[list-item]
    ],
)
def test_parts_that_do_not_fit_are_refused(tmp_path: Path, table: pa.Table, offsets: list[int], message: str) -> None:
    with pytest.raises(TrainingError) as caught:
        write_histories(
            tmp_path,
            table,
            np.array(offsets, np.int64),
            pa.table({"asset_id": ["A", "B", "C"]}),
            pa.table({"customer_id": ["x", "y"]}),
            np.zeros((3, 0), np.float32),
            [],
            np.zeros((2, 0), np.float32),
            [],
            CUT,
        )
    assert message in str(caught.value)
    assert not (tmp_path / "meta.json").exists()


def test_time_order_is_asked_within_a_customer_only(tmp_path: Path) -> None:
    assert write(tmp_path, [[(1, 3)], [(2, 30)]], 2).days.tolist() == [CUT_DAY - 3, CUT_DAY - 30]


def test_unknown_feature_values_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="item features hold NaN or infinity: item_feature_1"):
        write(tmp_path, [[]], 1, np.array([[0.0, np.nan]], np.float32))


def test_the_wrong_number_of_feature_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"item features have shape \(2, 1\), expected \(1, 1\)"):
        write(tmp_path, [[]], 1, np.zeros((2, 1), np.float32))


def test_an_unfinished_or_foreign_set_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"meta\.json is missing"):
        Histories.open(tmp_path)
    (tmp_path / "meta.json").write_text(json.dumps({"format_version": 99}))
    with pytest.raises(TrainingError, match="format version 99, expected 2"):
        Histories.open(tmp_path)


def test_the_vocabulary_depends_on_the_assets_and_their_order(tmp_path: Path) -> None:
    same = write(tmp_path / "a", [[]], 2).vocabulary == write(tmp_path / "b", [[(1, 1)]], 2).vocabulary
    assert same
    assert write(tmp_path / "c", [[]], 3).vocabulary != write(tmp_path / "a", [[]], 2).vocabulary


def test_a_torch_tensor_of_customers_is_taken_too(tmp_path: Path) -> None:
    assert write(tmp_path, ROWS, 3).batch(torch.tensor([2])).items.tolist() == [[3]]
