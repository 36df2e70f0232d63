"""The speed benches: figures worked out by hand, and a whole run of our contestant on a tiny data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from data_contracts.errors import NightfolioError
from flows.bench import growth, speed
from flows.bench.scoring import bench_scoring


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Four users of 5, 3, 3 and 2 events; each goes on through the five items."""
    rows = [(user, (user + place) % 6, place) for user, length in enumerate((5, 3, 3, 2)) for place in range(length)]
    pl.DataFrame(rows, schema=["user", "item", "position"], orient="row").write_parquet(tmp_path / "tiny.parquet")
    return tmp_path


def contest(data: Path) -> speed.Contest:
    return speed.Contest(data, "tiny", data)


def test_lists_are_scored_by_the_rank_of_the_left_out_item(data: Path) -> None:
    one = contest(data)
    assert one.customers.tolist() == [0, 1, 2]  # the user of two events is asked nothing
    assert one.answers.tolist() == [5, 4, 5]
    top = np.zeros((4, 10), np.int64)
    top[0, 0] = 5  # rank 1
    top[1, :2] = [5, 4]  # rank 2
    assert one.ndcg(top) == pytest.approx((1 + 1 / np.log2(3)) / 3)


def test_a_list_that_names_what_the_customer_has_is_refused(data: Path) -> None:
    top = np.zeros((4, 10), np.int64)
    top[1, 0] = 2
    with pytest.raises(NightfolioError, match="customer 1"):
        contest(data).ndcg(top)


def test_training_flops_by_hand(data: Path) -> None:
    # Rows read: 3 of user 0, 1 of users 1 and 2, 1 of the user of two; D = 2, one block, five items.
    shape = speed.Shape(dim=2, blocks=1)
    one = contest(data)
    rows = [min(length - 1, 50) for length in np.diff(one.offsets) if length >= 2]
    by_hand = [3 * (12 * 4 * n + 4 * 2 * sum(range(1, n + 1)) + 2 * 2 * 5 * n) for n in rows]
    assert one.training_flops(50, shape) == pytest.approx(sum(by_hand) / len(by_hand))


def test_our_contestant_runs_and_absent_peers_are_named(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "PEERS", {"nobody": "Nobody's SASRec"})
    said: list[str] = []
    runs = speed.bench_speed(
        data, "tiny", lengths=(4,), rounds=1, epochs=2, quality_epochs=2,
        contestants=("nightfolio", "nobody"), threads=1, say=said.append,
    )  # fmt: skip
    assert [run.contestant for run in runs] == ["nightfolio", "nightfolio"]
    assert runs[0].sequences_per_second > 0
    assert runs[1].ndcg is not None
    text = "\n".join(said)
    assert "NOT MEASURED: Nobody's SASRec" in text
    assert "device:" in text
    with pytest.raises(NightfolioError, match="no contestant somebody"):
        speed.bench_speed(data, "tiny", contestants=("somebody",))


def test_scoring_states_its_multiple() -> None:
    said: list[str] = []
    found = bench_scoring(500, 300, threads=1, say=said.append)
    assert found.multiple == pytest.approx(found.seconds / found.floor_seconds)
    assert "x the floor" in said[0]


def test_growth_measures_writes_a_page_and_knows_an_exponent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert growth.exponent((1, 2, 4), [3.0, 12.0, 48.0]) == pytest.approx(2)
    monkeypatch.setattr(growth, "CUSTOMERS", 8)
    monkeypatch.setattr(growth, "LONG_CUSTOMERS", 4)
    monkeypatch.setattr(growth, "AXES", {"items": (20, 40), "length, linear": (4, 8), "length, top 32": (4, 8)})
    frame = growth.bench_growth(tmp_path / "page.html", epochs=2, threads=1, axes=tuple(growth.AXES), say=lambda _: None)
    assert frame["size"].to_list() == [20, 40, 4, 8, 4, 8]
    assert (frame["seconds"] > 0).all()
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "items (exponent" in page
    assert '<script src="http' not in page
