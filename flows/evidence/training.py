"""Every fit of the run."""

from __future__ import annotations

import polars as pl

from flows.config import RunConfig
from flows.night import Night
from reports.evidence import TrainingEvidence


def gather(night: Night) -> tuple[TrainingEvidence, ...]:
    """One entry a folder of ``models/``."""
    return tuple(
        TrainingEvidence(folder.name, pl.read_parquet(folder / "training.parquet"), _facts(night.config))
        for folder in sorted((night.folder / "models").iterdir())
    )


def _facts(config: RunConfig) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in config.facts() if name.startswith(("train.", "model."))) + (
        ("seed", str(config.seed)),
    )
