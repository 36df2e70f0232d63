"""The speed benches: figures worked out by hand, and a whole run of our contestant on a tiny data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from data_contracts.errors import NightfolioError
from flows.bench import growth, speed
from flows.bench.device import Gpu, device_line, found_gpu, matmul_rate, rate_line
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
    assert device_line(found_gpu()) in text
    assert 0 < runs[0].baseline_bytes < runs[0].peak_bytes
    with pytest.raises(NightfolioError, match="no contestant somebody"):
        speed.bench_speed(data, "tiny", contestants=("somebody",))


MIB = 2**20
RUNS = [
    speed.Run("nightfolio", 50, 400.0, 100 * MIB, 250 * MIB, 70 * MIB, None),
    speed.Run("replay", 50, 100.0, 300 * MIB, 500 * MIB, 90 * MIB, None),
    speed.Run("nightfolio", 50, 600.0, 100 * MIB, 260 * MIB, 80 * MIB, None),
    speed.Run("replay", 50, 120.0, 300 * MIB, 520 * MIB, 90 * MIB, None),
]
RATES = {torch.float32: 110e9, torch.bfloat16: 1000e9}


def test_the_table_tells_imports_from_the_fit_and_gives_the_share_of_the_matrix_rate() -> None:
    said: list[str] = []
    speed._say_table(RUNS, {}, 0, 0.2e9, RATES, None, said.append)
    assert said == [
        "contestant           seq/s (min-max)         imports MiB  fit adds  peak MiB  of the matmul rate",
        "nightfolio               500 (400-600)               100       155       255   10.0% bfloat16 ",
        "replay                   110 (100-120)               300       210       510   20.0% float32  ",
        "nightfolio over the faster peer (replay): 4.55 x the speed; peak memory 0.50 x the leaner peer's",
    ]


def test_with_a_gpu_the_table_has_its_memory_and_its_rate() -> None:
    said: list[str] = []
    speed._say_table(RUNS, {}, 0, 0.2e9, RATES, Gpu("A GPU", 80 * 2**30), said.append)
    assert said[:2] == [
        "contestant           seq/s (min-max)         imports MiB  fit adds  peak MiB  GPU peak MiB  of the GPU's matmul rate",
        "nightfolio               500 (400-600)               100       155       255            75   10.0% bfloat16 ",
    ]


def test_a_report_names_the_device_and_says_that_there_is_no_gpu() -> None:
    assert "no GPU is present, so every figure is of the CPU" in device_line(None)
    gpu = Gpu("A GPU", 80 * 2**30)
    assert device_line(gpu) == "device: GPU A GPU, 80 GiB"
    assert rate_line(RATES, 2, gpu) == "the GPU's (8192 x 8192), GFLOP/s: float32 110, bfloat16 1000"
    assert rate_line(RATES, 2, None).startswith("this machine's matrix products, 2 threads (2048 x 2048)")
    assert matmul_rate(torch.float32, 1, size=64) > 0


def test_scoring_states_its_multiple() -> None:
    said: list[str] = []
    found = bench_scoring(500, 300, threads=1, say=said.append)
    assert found.multiple == pytest.approx(found.seconds / found.floor_seconds)
    assert "x the floor" in said[0]
    assert device_line(found_gpu()) in said[0]


def test_growth_measures_writes_a_page_and_knows_an_exponent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert growth.exponent((1, 2, 4), [3.0, 12.0, 48.0]) == pytest.approx(2)
    monkeypatch.setattr(growth, "CUSTOMERS", 8)
    monkeypatch.setattr(growth, "LONG_CUSTOMERS", 4)
    monkeypatch.setattr(growth, "AXES", {"items": (20, 40), "length, linear": (4, 8), "length, top 32": (4, 8)})
    said: list[str] = []
    frame = growth.bench_growth(tmp_path / "page.html", epochs=2, threads=1, axes=tuple(growth.AXES), say=said.append)
    assert device_line(found_gpu()) in said[0]
    assert frame["size"].to_list() == [20, 40, 4, 8, 4, 8]
    assert (frame["seconds"] > 0).all()
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "items (exponent" in page
    assert '<script src="http' not in page
