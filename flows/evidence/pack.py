"""The report step: the Evidence bundle and its pages."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl

from flows import publish as publishing
from flows.evidence import (
    ablation,
    attention,
    card,
    changes,
    consistency,
    drift,
    exclusions,
    faithfulness,
    files,
    ranking,
    recommendations,
    reconciliation,
    run,
    training,
    verdict,
)
from flows.made_tables import made_verdicts
from flows.night import Night
from reports.evidence import Evidence, Timing
from reports.evidence_pack import write_evidence


def report(night: Night) -> Path:
    """Writes ``evidence/`` and returns it."""
    pages = night.folder / "evidence"
    pages.mkdir(exist_ok=True)
    write_evidence(pages, gather(night))
    return pages


def gather(night: Night) -> Evidence:
    """The bundle that the pages are made of."""
    folder, config = night.folder, night.config
    return Evidence(
        verdict=verdict.gather(night),
        run=run.gather(night),
        counts=run.counts(night),
        changes=changes.gather(night),
        card=card.gather(night),
        register=card.models(night),
        ranking=ranking.gather(night),
        sufficiency=pl.read_parquet(folder / "evaluation" / "sufficiency.parquet"),
        contracts=(
            *json.loads((folder / "contracts" / "verdicts.json").read_text(encoding="utf-8")),
            *made_verdicts(folder),
        ),
        reconciliation=reconciliation.gather(night),
        recommendations=recommendations.gather(night),
        exclusions=exclusions.gather(night),
        attention=attention.gather(night),
        ablation=ablation.gather(night),
        consistency=consistency.gather(night),
        faithfulness=faithfulness.gather(night),
        training=training.gather(night),
        drift=drift.gather(night),
        regimes=pl.read_parquet(folder / "histories" / "present" / "regime.parquet"),
        files=files.gather(night),
        timings=tuple(Timing(step["step"], step["seconds"], step["peak_mib"]) for step in publishing.steps(night)),
        config=config.facts(),
        packages=tuple(publishing.package_versions().items()),
    )
