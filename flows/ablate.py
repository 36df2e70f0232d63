"""The full ablation, ad hoc: every variant on the whole budget, in parallel processes, and the consistency of attention.

Fits run in processes and not in threads: a fit pins its process's threads and random numbers. What comes out does not depend
on how many run at a time, but for the last bits that another number of threads a fit gives.
"""

from __future__ import annotations

from datetime import date
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from data_contracts.errors import TrainingError
from flows import ablation, consistency, tasks
from flows.ablation import REFERENCE, Fit
from flows.artifact import Artifact
from flows.config import RunConfig, load_config
from flows.night import Night, staged_run
from flows.resume import forget


@task(cache_policy=NO_CACHE, persist_result=False)
def prepare(night: Night, snapshot: Artifact, past: Artifact) -> Path:
    """The questions, and the training set that every fit learns from."""
    return ablation.prepare(
        night.config, snapshot.open(), past.open(), night.evaluation_cut, night.as_of, night.folder / "ablations"
    )


@task(cache_policy=NO_CACHE, persist_result=False)
def fit_all(night: Night, learnt: Path, past: Artifact, workers: int) -> Path:
    """Every variant, ``workers`` at a time, the processor's threads shared out among them."""
    config, shared = night.config, night.folder / "ablations"
    threads = max(1, config.threads // workers)
    job = partial(_fit, config, learnt, past.path, shared, threads)
    # A pool that ends its workers whatever happens: one that went on would write into a run that has moved to failed/.
    with night.step("fits"), get_context("spawn").Pool(workers) as pool:
        for one, out in pool.imap_unordered(job, fits(config)):
            ablation.tell(one, out)
    return shared


def _fit(config: RunConfig, learnt: Path, past: Path, shared: Path, threads: int, one: Fit) -> tuple[Fit, Path]:
    return one, ablation.fit_and_ask(config, one, learnt, past, shared, threads)


@task(cache_policy=NO_CACHE, persist_result=False)
def conclude(night: Night, past: Artifact, learnt: Path) -> Path:
    """The table of what each part is worth, and the consistency of the first model's attention."""
    config, out = night.config, night.folder / "audit"
    shared = night.folder / "ablations"
    with night.step("tables"):
        ablation.write_tables(config, learnt, shared, out)
        kind = ablation.kinds(config)[0]
        model, other = (shared / Fit(kind, REFERENCE, seed).name for seed in (config.seed, config.seed + 1))
        for folder in (model, other):
            if (folder / "failed.txt").exists():
                reason = (folder / "failed.txt").read_text(encoding="utf-8")
                raise TrainingError(f"the whole {kind} could not be fitted: {reason}", remedy="change the settings it names")
        consistency.measure(config, kind, model, (model, other) if other.exists() else None, past.open(), out)
    return out


def fits(config: RunConfig) -> list[Fit]:
    """Those of the ablation; and of the first model the reference, and a second seed of it, for the consistency."""
    found = ablation.planned(config)
    kind = ablation.kinds(config)[0]
    seeds = (config.seed, config.seed + 1) if config.audit.second_seed and consistency.has_a_seed(kind) else (config.seed,)
    return found + [one for seed in seeds if (one := Fit(kind, REFERENCE, seed)) not in found]


@flow(name="ablate", validate_parameters=True)
def ablate(
    preset: str = "default",
    source: Path | None = None,
    as_of: date | None = None,
    settings: dict[str, Any] | None = None,
    home: Path = Path("nightfolio_home"),
    workers: int | None = None,
) -> Path:
    """Ingests, checks, fits every variant and compares; returns the folder under ``trained/``. Publishes nothing.

    ``workers``: fits at a time; None: as many as the settings' threads.
    """
    config = load_config(preset, source=source, as_of=as_of, settings=settings)
    with staged_run(config, home, "ablation") as night:
        forget(night.folder)  # fits take minutes, not hours: what is stopped is run again
        snapshot = tasks.contracts(night, tasks.ingest(night))
        past = tasks.histories(night, snapshot, night.evaluation_cut, "past")
        learnt = prepare(night, snapshot, past)
        fit_all(night, learnt, past, workers or config.threads)
        conclude(night, past, learnt)
        return tasks.keep(night, "ablation")
