"""A run that was stopped goes on, with its own settings, to the very models that an undisturbed run makes."""

from __future__ import annotations

import io
import json
from datetime import date
from pathlib import Path

import polars as pl
import pytest
import torch
from rich.console import Console

from data_contracts.errors import RunNotFound
from data_contracts.storage import file_sha256
from flows.config import load_config
from flows.night import staged_run
from flows.resume import RESUME, remember, remembered
from flows.run_store import RunStore
from flows.show_runs import print_run
from flows.train import train
from lightning_modules.examples import TrainingBatch
from lightning_modules.gru import GRU4Rec

SETTINGS = {
    "train.models": ["gru4rec", "ease"],
    "recommend.model": "gru4rec",
    "train.epochs": 4,
    "train.patience": 1,
    "train.validation_days": 90,
}


class Stopped(Exception):
    """Stands in for whatever ends a process."""


def test_a_stopped_training_run_is_resumed(tmp_path: Path, prefect_engine: None, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train("smoke", settings=SETTINGS, home=tmp_path)
    log = pl.read_parquet(whole / "models" / "gru4rec-evaluated" / "training.parquet")
    assert log["fit"].unique(maintain_order=True).to_list() == ["validating", "final"]
    epochs = log.filter(pl.col("fit") == "validating")["epoch"].max() + 1  # type: ignore[operator]
    assert log["validation"].drop_nulls().len() == epochs
    steps = log.height
    original, calls = GRU4Rec.loss, 0

    def loss(self: GRU4Rec, batch: TrainingBatch) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls == steps:  # the last step of the final fit
            raise Stopped
        return original(self, batch)

    monkeypatch.setattr(GRU4Rec, "loss", loss)
    with pytest.raises(Stopped):
        train("smoke", settings=SETTINGS, home=tmp_path)
    failed = tmp_path / "failed" / "2024-06-28-02"
    assert json.loads((failed / RESUME).read_text())["kind"] == "training"
    printed = Console(record=True, width=200, file=io.StringIO())
    print_run(printed, failed)
    assert "go on with it: nightfolio train --resume 2024-06-28-02" in printed.export_text()
    resumed = train(home=tmp_path, resume=failed.name)
    assert calls < 2 * steps, "what was done is not done again"
    assert resumed == tmp_path / "trained" / failed.name
    assert not failed.exists()
    assert not (resumed / RESUME).exists()
    for name in ("models/gru4rec-evaluated/weights.safetensors", "models/gru4rec-evaluated/training.parquet"):
        assert file_sha256(whole / name) == file_sha256(resumed / name)
    assert file_sha256(whole / "evaluation" / "metrics.parquet") == file_sha256(resumed / "evaluation" / "metrics.parquet")
    manifests = [json.loads((run / "manifest.json").read_text()) for run in (whole, resumed)]
    assert [manifest["resumed"] for manifest in manifests] == [False, True]
    assert manifests[0]["config"] == manifests[1]["config"]
    with pytest.raises(RunNotFound, match="is whole"):
        train(home=tmp_path, resume=failed.name)
    # The validation slice ends before the cut, and its questions lie between the two.
    slice_ = json.loads((whole / "histories" / "past-validation" / "meta.json").read_text())
    cut = json.loads((whole / "histories" / "past" / "meta.json").read_text())["cut"]
    assert (slice_["cut"], cut) == ("2023-12-01", "2024-02-29")


def test_a_killed_run_is_found_where_it_died_and_nothing_but_its_models_is_kept(tmp_path: Path) -> None:
    config = load_config("smoke")
    folder = RunStore(tmp_path).new_run(date(2024, 6, 28))
    remember(folder, "training", config)
    for name in ("models", "snapshot"):
        (folder / name).mkdir()
        (folder / name / "file").write_text(name)
    (folder / "steps.jsonl").write_text("{}")
    assert remembered(tmp_path, folder.name) == config
    with staged_run(config, tmp_path, "training", folder.name) as night:
        assert night.folder == folder
        assert night.resumed
        assert sorted(entry.name for entry in folder.iterdir()) == ["models", "resume.json"]
        assert (folder / "models" / "file").read_text() == "models"


def test_a_night_is_not_resumed_as_a_training_run(tmp_path: Path) -> None:
    config = load_config("smoke")
    with pytest.raises(Stopped), staged_run(config, tmp_path, "night"):
        raise Stopped
    with (
        pytest.raises(RunNotFound, match="is a night run") as caught,
        staged_run(config, tmp_path, "training", "2024-06-28-01"),
    ):
        pass
    assert "`nightfolio nightly --resume 2024-06-28-01`" in caught.value.remedy
    assert [entry.state for entry in RunStore(tmp_path).runs()] == ["failed"]
