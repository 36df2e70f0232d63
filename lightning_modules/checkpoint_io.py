"""Lightning checkpoints without pickle: tensors in a safetensors file, everything else as JSON in its header.

One file, written beside its place and renamed, so a kill in the middle leaves the previous checkpoint whole.
Anything that is neither a tensor nor a plain value is refused, not guessed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from data_contracts.errors import TrainingError
from lightning_modules.lean_lightning import CheckpointIO

TREE = "lightning_tree"


def flatten(value: Any, tensors: dict[str, Tensor], path: str = "") -> Any:
    """Plain JSON for ``value``; its tensors go into ``tensors`` under their path."""
    if isinstance(value, Tensor):
        tensors[path] = value.detach().cpu().contiguous().clone()
        return {"tensor": path}
    if isinstance(value, dict):
        pairs = [[flatten(k, tensors), flatten(v, tensors, f"{path}/{k}")] for k, v in value.items()]
        return {"dict": pairs}
    if isinstance(value, (list, tuple)):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [flatten(v, tensors, f"{path}/{i}") for i, v in enumerate(value)]}
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise TypeError(f"checkpoint entry {path or '/'} is a {type(value).__name__}, neither a tensor nor a plain value")


def unflatten(tree: Any, tensors: dict[str, Tensor]) -> Any:
    """What ``flatten`` was given."""
    if not isinstance(tree, dict):
        return tree
    ((kind, content),) = tree.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {unflatten(k, tensors): unflatten(v, tensors) for k, v in content}
    values = [unflatten(v, tensors) for v in content]
    return tuple(values) if kind == "tuple" else values


class SafetensorsCheckpointIO(CheckpointIO):  # type: ignore[misc]
    """Plugged into the Trainer; every checkpoint goes through here."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        tensors: dict[str, Tensor] = {}
        tree = flatten(checkpoint, tensors)
        write_whole(Path(path), lambda part: save_file(tensors, part, {TREE: json.dumps(tree)}))

    def load_checkpoint(self, path: str | Path, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        try:
            with safe_open(path, framework="pt") as file:
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
                tree = json.loads(file.metadata()[TREE])
        except Exception as error:
            raise TrainingError(
                f"checkpoint {path} cannot be read: {error}", remedy="delete it and start the fit again"
            ) from error
        restored: dict[str, Any] = unflatten(tree, tensors)
        return restored

    def remove_checkpoint(self, path: str | Path) -> None:
        Path(path).unlink(missing_ok=True)


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write beside ``path``, flush to disk and rename: readers see the old file or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    write(part)
    with part.open("rb+") as file:
        os.fsync(file.fileno())
    part.replace(path)


def save_weights(path: Path, model: torch.nn.Module) -> None:
    """The model's parameters and persistent buffers."""
    state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    write_whole(path, lambda part: save_file(state, part))
