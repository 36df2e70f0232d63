"""Checkpoints come back as they went, hold no pickle, and are never half-written."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from data_contracts.errors import TrainingError
from lightning_modules.checkpoint_io import SafetensorsCheckpointIO, write_whole

CHECKPOINT = {
    "epoch": 3,
    "rate": 0.1,
    "nothing": None,
    "done": False,
    "name": "ä",
    "optimizer": [{"state": {0: {"step": torch.tensor(4.0), "exp_avg": torch.arange(3.0)}, 1: {}}, "betas": (0.9, 0.999)}],
    "weights": {"a.b": torch.eye(2), "a/b": torch.zeros(0)},
}


def same(one: object, other: object) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


def test_a_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "checkpoint.safetensors"
    io = SafetensorsCheckpointIO()
    io.save_checkpoint(CHECKPOINT, path)
    assert same(io.load_checkpoint(path), CHECKPOINT)
    with safe_open(path, framework="pt") as file:
        assert len(list(file.keys())) == 4
    assert [entry.name for entry in path.parent.iterdir()] == ["checkpoint.safetensors"]
    io.remove_checkpoint(path)
    assert not path.exists()


def test_anything_else_is_refused_by_its_path(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="checkpoint entry /callbacks/0 is a object"):
        SafetensorsCheckpointIO().save_checkpoint({"callbacks": [object()]}, tmp_path / "c")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_checkpoint_is_said(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    SafetensorsCheckpointIO().save_checkpoint(CHECKPOINT, path)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(TrainingError, match="cannot be read") as caught:
        SafetensorsCheckpointIO().load_checkpoint(path)
    assert "delete it and start the fit again" in str(caught.value)


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, lambda part: part.write_text("old"))

    def fail(part: Path) -> None:
        part.write_text("ne")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_whole(path, fail)
    assert path.read_text() == "old"
