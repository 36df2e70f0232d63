"""Scores a finished run's models again, from its stored weights, histories and snapshot."""

from __future__ import annotations

import json
import tempfile
from datetime import date
from pathlib import Path

import polars as pl
from pydantic import ValidationError

from data_contracts.errors import ConfigError, RunNotFound
from flows.config import RunConfig
from flows.learn import evaluate_models


def stored_config(run: Path) -> tuple[RunConfig, dict[str, str]]:
    """The settings and the dates that a run's manifest recorded. Raises RunNotFound where it has none, ConfigError
    where this version does not know its settings."""
    path = run / "manifest.json"
    if not path.exists():
        raise RunNotFound(
            f"run {run.name} has no manifest: it did not finish",
            remedy="`nightfolio runs` shows which runs are whole",
        )
    manifest = json.loads(path.read_text(encoding="utf-8"))
    settings = manifest["config"]
    if settings["source"]["format"] != "simulated":
        # The folder is not recorded, and scoring again does not read it.
        settings["source"]["path"] = "."
    try:
        config = RunConfig.model_validate(settings)
    except ValidationError as error:
        fields = ", ".join(".".join(str(part) for part in problem["loc"]) or problem["msg"] for problem in error.errors())
        raise ConfigError(
            f"run {run.name} was made by another version: this one does not know its settings ({fields})",
            remedy=f"use the code that the run's manifest names: {manifest['code'].get('git_commit', 'its source_sha256')}",
        ) from error
    return config, {"as_of": manifest["as_of"], "cut": manifest["evaluation_cut"]}


def evaluate_again(run: Path) -> bool:
    """Whether the metrics computed now equal the recorded ones, to the bit. Raises RunNotFound where a record is missing."""
    config, dates = stored_config(run)
    path = run / "evaluation" / "models.json"
    if not path.exists():
        raise RunNotFound(
            f"run {run.name} does not say which models were evaluated (evaluation/models.json): an earlier version made it",
            remedy="evaluate it with the version that its manifest names",
        )
    fits = json.loads(path.read_text(encoding="utf-8"))
    models = {name: run / "models" / folder for name, folder in fits.items()}
    with tempfile.TemporaryDirectory() as scratch:
        out = evaluate_models(
            config,
            run / "snapshot",
            run / "histories" / "past",
            models,
            date.fromisoformat(dates["cut"]),
            date.fromisoformat(dates["as_of"]),
            Path(scratch),
        )
        return pl.read_parquet(out / "metrics.parquet").equals(pl.read_parquet(run / "evaluation" / "metrics.parquet"))
