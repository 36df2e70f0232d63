"""The night: from landing files to a published, explained, contract-checked recommendation file."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

from prefect import flow

from flows import tasks
from flows.config import load_config
from flows.night import staged_run
from flows.records.publication import note_correction
from flows.resume import remembered


@flow(name="nightly", validate_parameters=True)
def nightly(
    preset: str = "default",
    source: Path | None = None,
    as_of: date | None = None,
    settings: dict[str, Any] | None = None,
    home: Path = Path("nightfolio_home"),
    resume: str | None = None,
    corrects: str | None = None,
    reason: str = "",
) -> Path:
    """Runs one night and returns the run's folder: published, or held where the gate says so. On any error nothing is published.

    ``resume`` names a run that was killed or stopped: it goes on with its own settings, from the last whole epoch.
    ``corrects`` names a published run of the same day that this one supersedes, ``reason`` why.
    """
    config = load_config(preset, source=source, as_of=as_of, settings=settings) if resume is None else remembered(home, resume)
    with staged_run(config, home, "night", resume) as night:
        if corrects is not None:
            note_correction(night.folder, night.store, corrects, reason)
        landed = tasks.ingest(night)
        snapshot = tasks.contracts(night, landed)

        past = tasks.histories(night, snapshot, night.evaluation_cut, "past")
        held_out = tasks.validation(night, snapshot, night.evaluation_cut, "past")
        candidates = {str(kind): tasks.train(night, past, kind, "evaluated", held_out) for kind in config.train.models}
        # From here on the night has the settings that it publishes: the champion's, where tonight's are refused.
        night, scored = tasks.challenge(night, snapshot, past, candidates)  # noqa: PLW2901
        evaluation = tasks.evaluate(night, snapshot, past, scored)
        audits = [
            tasks.ablation(night, snapshot, past),
            tasks.consistency(night, past, scored[night.config.recommend.model]),
        ]

        present = tasks.histories(night, snapshot, night.as_of, "present")
        held_out = tasks.validation(night, snapshot, night.as_of, "present")
        model = tasks.train(night, present, night.config.recommend.model, "published", held_out)
        ranked = tasks.recommend(night, snapshot, present, model)
        ranked = tasks.recheck(night, snapshot, ranked)
        ranked = tasks.output_contract(night, ranked)
        gated = tasks.gate(night, evaluation, ranked)

        evidence = tasks.report(night, snapshot, evaluation, audits, ranked, gated)
        return tasks.publish(night, evidence)
