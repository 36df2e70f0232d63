"""Going on with a run that was killed or stopped: with its own settings, from the last whole epoch of each model.

While a run is made its folder holds ``resume.json``: what kind of run it is and every setting, the landing folder's
place included (which is why it is removed before a run is published or kept). Steps that take seconds are done again,
since their inputs are hashed and their results must be the same; a fit goes on from its checkpoint, and refuses one
that was made on other data.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from data_contracts.errors import RunNotFound
from flows.config import RunConfig
from flows.run_store import RunStore

RESUME = "resume.json"
KEPT = {"models", RESUME, "correction.json"}
COMMANDS = {"night": "nightly", "training": "train"}


def remember(folder: Path, kind: str, config: RunConfig) -> None:
    """Writes ``resume.json`` into a run in the making; ``kind`` is night or training."""
    told = {"kind": kind, "config": config.model_dump(mode="json")}
    (folder / RESUME).write_text(json.dumps(told, indent=1), encoding="utf-8")


def forget(folder: Path) -> None:
    """Removes ``resume.json`` from a run that is whole."""
    (folder / RESUME).unlink(missing_ok=True)


def kind_of(folder: Path) -> str | None:
    """Night or training; None where the run cannot be gone on with."""
    path = folder / RESUME
    return str(json.loads(path.read_text(encoding="utf-8"))["kind"]) if path.exists() else None


def remembered(home: Path, run_id: str) -> RunConfig:
    """The settings of a run that did not end. Raises RunNotFound where there is none to go on with."""
    path = RunStore(home).find(run_id) / RESUME
    if not path.exists():
        raise RunNotFound(
            f"run {run_id} is whole, or stopped before it could be gone on with",
            remedy="`nightfolio runs` lists runs with their state; a failed one can be resumed",
        )
    return RunConfig.model_validate(json.loads(path.read_text(encoding="utf-8"))["config"])


def reopen(store: RunStore, run_id: str, kind: str) -> Path:
    """Moves a failed run back to ``staging/`` with nothing but its models. Call it under the lease of its as_of.

    Raises RunNotFound where it is not failed, or of the other kind.
    """
    found = store.find(run_id)
    was = kind_of(found)
    if found.parent.name != "failed" or was is None:
        raise RunNotFound(f"run {run_id} is {found.parent.name}, not failed", remedy="only a failed run can be resumed")
    if was != kind:
        raise RunNotFound(
            f"run {run_id} is a {was} run", remedy=f"`nightfolio {COMMANDS[was]} --resume {run_id}` goes on with it"
        )
    staged = store.home / "staging" / run_id
    found.rename(staged)
    for entry in staged.iterdir():
        if entry.name not in KEPT:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    return staged
