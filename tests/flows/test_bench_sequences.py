"""The sequences bench on a small file: what it measures, writes and refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from data_contracts.errors import ConfigError
from flows.bench.sequences import bench_sequences, load_preset, preset_names, run_sequences

SMALL = """
[transformer.spec]
dim = 16
dropout = 0.0
max_length = 10
[transformer.train]
epochs = 20
batch_size = 32
base_lr = 0.01
[gru4rec]
kind = "gru4rec"
[gru4rec.spec]
dim = 16
dropout = 0.0
max_length = 10
[gru4rec.train]
epochs = 20
batch_size = 32
base_lr = 0.01
[popularity]
"""


@pytest.fixture
def ring(tmp_path: Path) -> Path:
    """Two hundred users who walk around a ring of thirty items, one step at a time: whoever reads the last event knows."""
    starts = np.random.default_rng(0).integers(0, 30, 200)
    lengths = np.random.default_rng(1).integers(5, 9, 200)
    rows = [
        (user, int((start + place) % 30), place)
        for user, (start, length) in enumerate(zip(starts, lengths, strict=True))
        for place in range(length)
    ]
    pl.DataFrame(rows, schema=["user", "item", "position"], orient="row").write_parquet(tmp_path / "ring.parquet")
    (tmp_path / "ring.toml").write_text(SMALL)
    return tmp_path


def test_models_that_read_the_order_find_the_next_step_and_popularity_does_not(
    ring: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = run_sequences(
        ring, ring / "out", sets=("ring",), models=(), preset=ring / "ring.toml", stages=(), seeds=2, threads=1
    )
    assert results.select("stage", "model", "seeds").rows() == [
        ("validation", "transformer", 2),
        ("test", "transformer", 2),
        ("validation", "gru4rec", 2),
        ("test", "gru4rec", 2),
        ("validation", "popularity", 1),  # computed, not drawn: a second fit would be the same
        ("test", "popularity", 1),
    ]
    figures = dict(zip(results["model"], results["ndcg_at_10"], strict=True))  # of the test, which comes last
    assert figures["transformer"] > 0.9
    assert figures["gru4rec"] > 0.9
    assert figures["popularity"] < 0.5
    last = results.row(-1, named=True)
    assert last["transformer_ahead_low"] > 0
    assert last["transformer_ahead"] == pytest.approx(figures["transformer"] - figures["popularity"])
    assert pl.read_parquet(ring / "out" / "results.parquet").equals(results)
    page = (ring / "out" / "results.html").read_text()
    assert "<script src=" not in page
    assert "ring: NDCG@10 (test)" in page
    printed = capsys.readouterr().out
    assert "200 customers asked" in printed
    assert "2 seed(s)" in printed
    assert "transformer ahead by" in printed


def test_seeds_repeat(ring: Path) -> None:
    def once(name: str) -> pl.DataFrame:
        results = bench_sequences(
            ring,
            ring / name,
            sets=["ring"],
            seeds=1,
            threads=1,
            stages=["validation"],
            models=["gru4rec"],
            presets={"ring": ring / "ring.toml"},
            tell=lambda text: None,
        )
        return results.drop("fit_seconds", "score_seconds")

    assert once("a").equals(once("b"))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[transformer.spec]\nwidth = 3", "transformer.spec has no setting width"),
        ("[transformer.spec]\nkind = 'ease'", "transformer.spec has no setting kind"),
        ("[transformer]\ndim = 3", "transformer.dim"),
        ("[sasrec.spec]\ndim = 4", "no model 'sasrec'"),
        ("[gru4rec.spec]\ndim = 3", "dim is 3"),
        ("[gru4rec.train]\nepochs = 0", "epochs is 0"),
        ("not toml", "cannot be read"),
    ],
)
def test_a_wrong_preset_is_refused_by_name(text: str, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "wrong.toml").write_text(text)
    with pytest.raises(ConfigError, match=complaint):
        load_preset(tmp_path / "wrong.toml")


def test_every_shipped_preset_has_both_sides_of_the_comparison_and_its_header() -> None:
    from flows.bench.sequences import PRESETS

    assert preset_names() == ["beauty", "ml_1m", "video_games"]
    for name in preset_names():
        path = PRESETS / f"{name}.toml"
        entries = load_preset(path)
        assert next(iter(entries)) == "transformer"  # the others are compared with it
        assert "gru4rec" in entries
        header = [line for line in path.read_text().splitlines() if line.startswith("#")]
        assert any("validation" in line for line in header)
        assert any(f"--set {name}" in line for line in header)


def test_what_is_asked_is_checked_before_anything_runs(tmp_path: Path) -> None:
    def refused(**changes: Any) -> str:
        asked: dict[str, Any] = {"sets": (), "models": (), "preset": None, "stages": (), "seeds": 1, "threads": 1, **changes}
        with pytest.raises(ConfigError) as caught:
            run_sequences(tmp_path, tmp_path / "out", **asked)
        assert not (tmp_path / "out").exists()
        return str(caught.value)

    assert "no settings for the data set(s) netflix" in refused(sets=("netflix",))
    assert "--stage train does not exist" in refused(stages=("train",))
    assert "--preset holds the settings of one data set" in refused(preset=tmp_path / "p.toml", sets=("a", "b"))
    assert "no settings for sasrec" in refused(sets=("beauty",), models=("sasrec",))
