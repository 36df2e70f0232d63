"""A fit is repeatable, resumable to the bit, follows its learning rate, and stops with a message when it must."""

from __future__ import annotations

import gc
import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from data_contracts.errors import TrainingError
from lightning_modules.attention_cf import AttentionCF
from lightning_modules.examples import TrainingBatch
from lightning_modules.fit import FitReport, fit, load_ranker
from lightning_modules.optimiser import Adam
from lightning_modules.settings import ModelSpec, TrainSettings
from lightning_modules.warmup import learning_rate
from tests.lightning_modules.small_histories import planted_market, write

SETTINGS = TrainSettings(epochs=3, batch_size=64, base_lr=5e-3, seed=3, threads=1)
SPECS = {
    kind: ModelSpec(kind=kind, dim=8, max_length=6, blocks=1, holders=4, holder_dim=4, horizon_days=60)  # type: ignore[arg-type]
    for kind in ("attention_cf", "transformer", "signal_attention")
}


class Stopped(Exception):
    """Stands in for whatever ends a fit from outside."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("market")
    planted_market(directory, customers=150)
    return directory


def outputs(directory: Path) -> dict[str, bytes]:
    return {name: (directory / name).read_bytes() for name in ("weights.safetensors", "model.json", "training.parquet")}


@pytest.mark.parametrize("kind", SPECS)
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(kind: str, data: Path, tmp_path: Path) -> None:
    first = fit(SPECS[kind], SETTINGS, data, tmp_path / "a")
    fit(SPECS[kind], SETTINGS, data, tmp_path / "b")
    fit(SPECS[kind], replace(SETTINGS, seed=4), data, tmp_path / "c")
    assert outputs(tmp_path / "a") == outputs(tmp_path / "b")
    assert outputs(tmp_path / "a")["weights.safetensors"] != outputs(tmp_path / "c")["weights.safetensors"]
    assert isinstance(first, FitReport)
    assert first.last_loss < first.first_loss
    assert first.resumed_from_epoch is None


@pytest.mark.parametrize("kind", SPECS)
def test_a_fit_stopped_after_an_epoch_resumes_to_the_same_bytes(kind: str, data: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []

    def stop_after_first(epoch: int, epochs: int, loss: float) -> None:
        told.append((epoch, epochs))
        assert loss > 0
        raise Stopped

    fit(SPECS[kind], SETTINGS, data, tmp_path / "whole")
    with pytest.raises(Stopped):
        fit(SPECS[kind], SETTINGS, data, tmp_path / "parts", on_epoch=stop_after_first)
    assert told == [(0, 3)]
    assert not (tmp_path / "parts" / "model.json").exists()
    report = fit(SPECS[kind], SETTINGS, data, tmp_path / "parts", resume=True)
    assert report.resumed_from_epoch == 1
    assert outputs(tmp_path / "whole") == outputs(tmp_path / "parts")


def test_a_fit_killed_in_the_middle_of_an_epoch_resumes_from_its_start(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fit(SPECS["attention_cf"], SETTINGS, data, tmp_path / "whole")
    original = AttentionCF.loss
    calls = 0

    def loss_until_killed(self: AttentionCF, batch: TrainingBatch) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls == whole.steps // 3 + 3:
            raise Stopped
        return original(self, batch)

    monkeypatch.setattr(AttentionCF, "loss", loss_until_killed)
    with pytest.raises(Stopped):
        fit(SPECS["attention_cf"], SETTINGS, data, tmp_path / "parts")
    monkeypatch.undo()
    report = fit(SPECS["attention_cf"], SETTINGS, data, tmp_path / "parts", resume=True)
    assert report.resumed_from_epoch == 1
    assert outputs(tmp_path / "whole") == outputs(tmp_path / "parts")


def test_resuming_a_finished_fit_changes_nothing(data: Path, tmp_path: Path) -> None:
    fit(SPECS["transformer"], SETTINGS, data, tmp_path)
    before = outputs(tmp_path)
    fit(SPECS["transformer"], SETTINGS, data, tmp_path, resume=True)
    assert outputs(tmp_path) == before


def test_resume_without_a_checkpoint_starts_anew(data: Path, tmp_path: Path) -> None:
    assert fit(SPECS["transformer"], SETTINGS, data, tmp_path, resume=True).resumed_from_epoch is None


def test_a_checkpoint_of_another_fit_is_refused(data: Path, tmp_path: Path) -> None:
    fit(SPECS["transformer"], SETTINGS, data, tmp_path)
    with pytest.raises(TrainingError, match="other settings or other data") as caught:
        fit(SPECS["transformer"], replace(SETTINGS, base_lr=2e-3), data, tmp_path, resume=True)
    assert "resume=False" in str(caught.value)


def test_a_new_fit_removes_the_checkpoint_of_the_old_one(data: Path, tmp_path: Path) -> None:
    fit(SPECS["transformer"], SETTINGS, data, tmp_path)

    def stop(epoch: int, epochs: int, loss: float) -> None:
        raise Stopped

    other = replace(SETTINGS, seed=9)
    with pytest.raises(Stopped):
        fit(SPECS["transformer"], other, data, tmp_path, on_epoch=stop)
    assert fit(SPECS["transformer"], other, data, tmp_path, resume=True).resumed_from_epoch == 1


@pytest.mark.parametrize("decay", ["linear", "exponential"])
def test_the_logged_learning_rate_is_the_configured_one_also_across_a_resume(decay: str, data: Path, tmp_path: Path) -> None:
    settings = replace(SETTINGS, decay=decay, warmup_fraction=0.3, base_lr=2e-3)  # type: ignore[arg-type]

    def stop_after_second(epoch: int, epochs: int, loss: float) -> None:
        if epoch == 1:
            raise Stopped

    with pytest.raises(Stopped):
        fit(SPECS["transformer"], settings, data, tmp_path, on_epoch=stop_after_second)
    steps = fit(SPECS["transformer"], settings, data, tmp_path, resume=True).steps
    log = pq.read_table(tmp_path / "training.parquet").to_pydict()
    assert list(log) == ["fit", "step", "epoch", "learning_rate", "loss", "validation"]
    assert set(log["fit"]) == {"final"}
    assert set(log["validation"]) == {None}
    assert log["step"] == list(range(steps))
    assert log["epoch"] == [step // (steps // 3) for step in range(steps)]
    assert log["learning_rate"] == [learning_rate(s, steps, 2e-3, 0.3, settings.decay, 0.01) for s in range(steps)]
    assert max(log["learning_rate"]) == pytest.approx(2e-3)


def test_warm_up_and_decay_are_these_very_numbers_also_across_a_resume(data: Path, tmp_path: Path) -> None:
    """150 customers in batches of 64: 3 steps an epoch, 9 in all, of which 30 %, rounded up, are warm-up."""
    settings = replace(SETTINGS, warmup_fraction=0.3, base_lr=2e-3, recency_half_life_days=None)

    def stop_after_first(epoch: int, epochs: int, loss: float) -> None:
        raise Stopped

    fit(SPECS["transformer"], settings, data, tmp_path / "whole")
    with pytest.raises(Stopped):
        fit(SPECS["transformer"], settings, data, tmp_path / "parts", on_epoch=stop_after_first)
    fit(SPECS["transformer"], settings, data, tmp_path / "parts", resume=True)
    expected = [0.002 / 3, 0.004 / 3, 0.002, 0.00167, 0.00134, 0.00101, 0.00068, 0.00035, 0.00002]
    for name in ("whole", "parts"):
        assert pq.read_table(tmp_path / name / "training.parquet")["learning_rate"].to_pylist() == pytest.approx(expected)


VICTIM = """
import sys, time
from pathlib import Path
from lightning_modules.fit import fit
from lightning_modules.transformer import CausalTransformer
from tests.lightning_modules.test_fit import SETTINGS, SPECS

original, calls = CausalTransformer.loss, 0

def loss(self, batch):
    global calls
    calls += 1
    if calls == int(sys.argv[3]):
        print("in the middle of an epoch", flush=True)
        time.sleep(600)
    return original(self, batch)

CausalTransformer.loss = loss
fit(SPECS["transformer"], SETTINGS, Path(sys.argv[1]), Path(sys.argv[2]))
"""


def test_a_process_killed_in_the_middle_of_an_epoch_is_resumed_to_the_same_bytes(data: Path, tmp_path: Path) -> None:
    whole = fit(SPECS["transformer"], SETTINGS, data, tmp_path / "whole")
    middle = whole.steps // SETTINGS.epochs + 2
    command = [sys.executable, "-c", VICTIM, str(data), str(tmp_path / "parts"), str(middle)]
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as victim:
        assert victim.stdout is not None
        assert victim.stdout.readline() == "in the middle of an epoch\n"
        victim.send_signal(signal.SIGKILL)
    assert victim.returncode == -signal.SIGKILL
    assert not (tmp_path / "parts" / "model.json").exists()
    report = fit(SPECS["transformer"], SETTINGS, data, tmp_path / "parts", resume=True)
    assert report.resumed_from_epoch == 1
    assert outputs(tmp_path / "whole") == outputs(tmp_path / "parts")


def test_the_optimiser_is_given_the_logged_rate(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[float] = []
    original = Adam.step

    def step(self: Adam, *args: object, **kwargs: object) -> object:
        used.append(self.param_groups[0]["lr"])
        return original(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Adam, "step", step)
    fit(SPECS["transformer"], SETTINGS, data, tmp_path)
    assert used == pq.read_table(tmp_path / "training.parquet")["learning_rate"].to_pylist()


def test_the_first_step_without_a_finite_loss_is_named_though_losses_are_read_rarely(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = AttentionCF.loss
    calls = 0

    def loss(self: AttentionCF, batch: TrainingBatch) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return original(self, batch) * (float("inf") if calls == 3 else 1.0)

    monkeypatch.setattr(AttentionCF, "loss", loss)
    with pytest.raises(TrainingError, match=r"the loss became inf at step 2 \(epoch 0\)"):
        fit(SPECS["attention_cf"], SETTINGS, data, tmp_path)
    assert not (tmp_path / "last").exists(), "no checkpoint of an epoch that went wrong"


def test_weights_spoilt_by_the_last_step_are_not_stored(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original, calls = Adam.step, 0

    def step(self: Adam, *args: object, **kwargs: object) -> object:
        nonlocal calls
        calls += 1
        given = original(self, *args, **kwargs)  # type: ignore[arg-type]
        if calls == steps:
            self.param_groups[0]["params"][0].data.fill_(float("nan"))
        return given

    steps = fit(SPECS["transformer"], SETTINGS, data, tmp_path / "sound").steps
    monkeypatch.setattr(Adam, "step", step)
    with pytest.raises(TrainingError, match="fitted weights are not finite"):
        fit(SPECS["transformer"], SETTINGS, data, tmp_path / "spoilt")
    assert calls == steps
    assert not (tmp_path / "spoilt" / "weights.safetensors").exists()


def test_a_loss_that_is_not_a_number_stops_the_fit(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AttentionCF, "loss", lambda self, batch: self.gate * float("nan"))
    with pytest.raises(TrainingError, match=r"the loss became nan at step 0 \(epoch 0\)") as caught:
        fit(SPECS["attention_cf"], SETTINGS, data, tmp_path)
    assert "lower base_lr" in str(caught.value)
    assert not (tmp_path / "model.json").exists()


@pytest.mark.parametrize("kind", SPECS)
def test_nothing_to_learn_from_is_said(kind: str, tmp_path: Path) -> None:
    write(tmp_path / "histories", [[], []], 3)
    with pytest.raises(TrainingError, match="nothing to learn from: the training set has 0 events") as caught:
        fit(SPECS[kind], SETTINGS, tmp_path / "histories", tmp_path / "out")
    assert "remedy: use a later as_of" in str(caught.value)


# Signal attention asks the question on past days: it needs some, and says so (test_signal_attention).
@pytest.mark.parametrize("kind", ["attention_cf", "transformer"])
def test_one_purchase_is_enough_to_fit(kind: str, tmp_path: Path) -> None:
    histories = write(tmp_path / "histories", [[(2, 3)], []], 3)
    fit(SPECS[kind], replace(SETTINGS, epochs=1), tmp_path / "histories", tmp_path / "out")
    model = load_ranker(tmp_path / "out", tmp_path / "histories")
    assert model.score(histories.batch(np.arange(2))).isfinite().all()


def test_a_loaded_model_is_the_fitted_one_and_another_vocabulary_is_refused(data: Path, tmp_path: Path) -> None:
    fit(SPECS["attention_cf"], SETTINGS, data, tmp_path / "model")
    model = load_ranker(tmp_path / "model", data)
    assert not model.training
    saved = load_file(tmp_path / "model" / "weights.safetensors")
    assert set(saved) == set(model.state_dict())
    assert all(torch.equal(saved[name], value) for name, value in model.state_dict().items())
    told = json.loads((tmp_path / "model" / "model.json").read_text())
    assert told["spec"]["kind"] == "attention_cf"
    assert told["settings"]["seed"] == 3
    write(tmp_path / "other", [[(1, 2)]], 3)
    with pytest.raises(TrainingError, match=r"another list of assets \(40\) than .* has \(3\)"):
        load_ranker(tmp_path / "model", tmp_path / "other")
    with pytest.raises(TrainingError, match="no fitted model"):
        load_ranker(tmp_path / "nowhere", data)


def test_a_fit_leaves_the_process_as_it_was(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    torch.manual_seed(11)
    before = (torch.get_rng_state(), torch.get_num_threads(), torch.get_deterministic_debug_mode(), gc.get_freeze_count())
    fit(SPECS["transformer"], SETTINGS, data, tmp_path / "out")
    after = (torch.get_rng_state(), torch.get_num_threads(), torch.get_deterministic_debug_mode(), gc.get_freeze_count())
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]
    assert list(here.iterdir()) == []
    assert sorted(path.name for path in (tmp_path / "out").rglob("*") if path.is_file()) == [
        "checkpoint.safetensors",
        "model.json",
        "training.parquet",
        "weights.safetensors",
    ]
