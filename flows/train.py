"""Training without publishing: for the data scientist who compares models."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

from prefect import flow

from flows import tasks
from flows.config import load_config
from flows.night import staged_run
from flows.resume import remembered


@flow(name="train", validate_parameters=True)
def train(
    preset: str = "default",
    source: Path | None = None,
    as_of: date | None = None,
    settings: dict[str, Any] | None = None,
    home: Path = Path("nightfolio_home"),
    resume: str | None = None,
) -> Path:
    """Ingests, checks, trains and evaluates; returns the folder under ``trained/``. Publishes nothing.

    ``resume`` names a run that was killed or stopped: it goes on with its own settings, from the last whole epoch.
    """
    config = load_config(preset, source=source, as_of=as_of, settings=settings) if resume is None else remembered(home, resume)
    with staged_run(config, home, "training", resume) as night:
        snapshot = tasks.contracts(night, tasks.ingest(night))
        past = tasks.histories(night, snapshot, night.evaluation_cut, "past")
        held_out = tasks.validation(night, snapshot, night.evaluation_cut, "past")
        models = {str(kind): tasks.train(night, past, kind, "evaluated", held_out) for kind in config.train.models}
        tasks.evaluate(night, snapshot, past, models)
        return tasks.keep(night)
