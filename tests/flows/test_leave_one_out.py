"""Leave-one-out by hand: what trains, what is read, what is asked, and what a wrong file is told."""

from __future__ import annotations

import math
from itertools import permutations
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_contracts.errors import LandingError
from flows.bench.leave_one_out import expected_gains, leave_one_out, read_sequences
from lightning_modules.histories import Histories
from tests.conftest import real_data

# Users 7 and 30 have enough events, 12 has not; items are numbered as they come in the file, with gaps.
EVENTS = {7: [50, 10, 40, 20], 12: [60, 10], 30: [20, 50, 70]}


def file_of(events: dict[int, list[int]], path: Path) -> Path:
    rows = [(user, item, place) for user, items in events.items() for place, item in enumerate(items)]
    frame = pl.DataFrame(rows, schema=["user", "item", "position"], orient="row").sample(fraction=1, shuffle=True, seed=1)
    frame.write_parquet(path)
    return path


def histories_of(directory: Path) -> dict[str, list[str]]:
    histories = Histories.open(directory)
    names = histories.asset_ids
    return {
        customer: [names[int(item) - 1] for item in histories.items[histories.offsets[row] : histories.offsets[row + 1]]]
        for row, customer in enumerate(histories.customer_ids)
    }


def test_the_split_by_hand(tmp_path: Path) -> None:
    split = leave_one_out(read_sequences(file_of(EVENTS, tmp_path / "e.parquet")), tmp_path)
    assert split.counts == {"customers": 3, "items": 6, "events": 9, "asked": 2, "too_short": 1}
    # A user of two events trains with both of them and is asked nothing.
    assert histories_of(split.train) == {"7": ["50", "10"], "12": ["60", "10"], "30": ["20"]}
    assert histories_of(split.test.histories) == {"7": ["50", "10", "40"], "12": ["60", "10"], "30": ["20", "50"]}
    assert split.validation.histories == split.train
    names = Histories.open(split.train).asset_ids
    for question, answers in ((split.validation, ["40", "50"]), (split.test, ["20", "70"])):
        assert question.customers.tolist() == [0, 2]
        assert [names[item - 1] for item in question.items] == answers


def test_the_last_event_read_lies_on_the_cut_day(tmp_path: Path) -> None:
    split = leave_one_out(read_sequences(file_of(EVENTS, tmp_path / "e.parquet")), tmp_path)
    histories = Histories.open(split.test.histories)
    assert (histories.cut_day - histories.days).tolist() == [60, 30, 0, 30, 0, 30, 0]


@pytest.mark.parametrize(
    ("frame", "complaint"),
    [
        (pl.DataFrame({"user": [1], "item": [2]}), "lacks position"),
        (pl.DataFrame({"user": [1], "item": ["a"], "position": [0]}), "item is not whole numbers"),
        (pl.DataFrame({"user": [1, None], "item": [2, 3], "position": [0, 1]}), "is not whole numbers"),
        (pl.DataFrame({"user": [1, 1], "item": [2, 3], "position": [0, 0]}), "repeat a user and position"),
        (pl.DataFrame({"user": [1, 1], "item": [2, 2], "position": [0, 1]}), "repeat a user and item"),
    ],
)
def test_a_wrong_file_is_refused_by_name(frame: pl.DataFrame, complaint: str, tmp_path: Path) -> None:
    frame.write_parquet(tmp_path / "wrong.parquet")
    with pytest.raises(LandingError, match=complaint) as caught:
        read_sequences(tmp_path / "wrong.parquet")
    assert "wrong.parquet" in str(caught.value)


def test_an_absent_and_an_unreadable_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LandingError, match="does not exist"):
        read_sequences(tmp_path / "absent.parquet")
    (tmp_path / "text.parquet").write_text("user,item\n")
    with pytest.raises(LandingError, match="cannot be read as Parquet"):
        read_sequences(tmp_path / "text.parquet")
    with pytest.raises(LandingError, match="no user has 3 events"):
        leave_one_out(read_sequences(file_of({1: [1, 2]}, tmp_path / "short.parquet")), tmp_path)


@given(greater=st.integers(0, 6), ties=st.integers(0, 4), k=st.integers(1, 6))
def test_equal_scores_count_as_the_mean_over_their_orders(greater: int, ties: int, k: int) -> None:
    ndcg, hit = expected_gains(np.array([greater]), np.array([ties]), k)
    ranks = [greater + 1 + order.index(0) for order in permutations(range(ties + 1))]
    assert ndcg[0] == pytest.approx(np.mean([1 / math.log2(rank + 1) if rank <= k else 0.0 for rank in ranks]))
    assert hit[0] == pytest.approx(np.mean([rank <= k for rank in ranks]))


def test_beauty_is_read_as_its_provenance_says(tmp_path: Path) -> None:
    split = leave_one_out(read_sequences(real_data("sequences") / "beauty.parquet"), tmp_path)
    assert split.counts == {"customers": 22_363, "items": 12_101, "events": 198_502, "asked": 22_363, "too_short": 0}
    assert Histories.open(split.train).n_events == 198_502 - 2 * 22_363
    assert Histories.open(split.test.histories).n_events == 198_502 - 22_363
