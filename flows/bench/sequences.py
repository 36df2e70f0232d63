"""``nightfolio bench sequences``: next-item ranking on public sequences, against our own GRU4Rec and simpler models.

Protocol, printed with every run: leave-one-out (``flows.bench.leave_one_out``), the full catalogue less what the customer
already has, NDCG@10 and HR@10. Every model is fitted with the settings of ``flows/bench/presets/SET.toml`` on all but the
last two events of each customer, once per seed; a customer's figure is the mean over the seeds, and the 95 % intervals are
bootstrapped over customers. Differences are paired by customer.
"""

from __future__ import annotations

import json
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
import numpy.typing as npt
import polars as pl
import torch

from data_contracts.errors import ConfigError
from flows.bench.leave_one_out import LEAST_EVENTS, LeaveOneOut, Question, Stage, expected_gains, leave_one_out, read_sequences
from lightning_modules.evaluation import rank_tables
from lightning_modules.family import FAMILY, events_read
from lightning_modules.fit import fit, load_ranker
from lightning_modules.histories import Histories
from lightning_modules.settings import ModelSpec, TrainSettings
from reports.intervals import bootstrap_mean
from reports.sequences import write_sequences_page

PRESETS = Path(__file__).parent / "presets"
K = 10
STAGES: tuple[Stage, ...] = get_args(Stage)
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Entry:
    """One model of a preset."""

    spec: ModelSpec
    settings: TrainSettings


@dataclass(frozen=True)
class Asked:
    """One model's answers to one question: per customer, the mean over the seeds."""

    ndcg: Floats  # [Q]
    hit: Floats  # [Q]
    ndcg_of_seeds: tuple[float, ...]
    hit_of_seeds: tuple[float, ...]
    fit_seconds: float  # mean over the seeds
    score_seconds: float
    parameters: int


def preset_names() -> list[str]:
    """The data sets that there are settings for."""
    return sorted(path.stem for path in PRESETS.glob("*.toml"))


def load_preset(path: Path) -> dict[str, Entry]:
    """The models of a preset file, in its order: one table a model, with ``spec`` and ``train`` in it.

    A table is named for its kind of model, or says ``kind`` where one kind stands there twice.

    Raises ConfigError naming the file and the key: absent, not TOML, unknown model or setting, a value out of bounds.
    """
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"preset {path.name} cannot be read: {error}", remedy=f"use one of {preset_names()}") from error
    entries: dict[str, Entry] = {}
    known = {"spec": ModelSpec, "train": TrainSettings}
    for name, parts in tree.items():
        kind = parts.pop("kind", name)
        if kind not in FAMILY:
            raise ConfigError(f"preset {path.name}: there is no model {kind!r}", remedy=f"use {', '.join(FAMILY)}")
        for part, values in parts.items():
            allowed = {field.name for field in fields(known[part])} - {"kind", "seed", "threads"} if part in known else set()
            unknown = sorted(set(values) - allowed) if isinstance(values, dict) else [part]
            if unknown:
                raise ConfigError(
                    f"preset {path.name}: {name}.{part} has no setting {', '.join(unknown)}",
                    remedy=f"settings are {', '.join(sorted(allowed)) or 'spec and train'}",
                )
        # The public files have an order and no dates: every event counts alike.
        settings = {"recency_half_life_days": None, **parts.get("train", {})}
        entries[name] = Entry(ModelSpec(kind=kind, **parts.get("spec", {})), TrainSettings(**settings))
    return entries


def ask(model_dir: Path, spec: ModelSpec, question: Question) -> tuple[Floats, Floats]:
    """NDCG@10 and HR@10 [Q] of a fitted model, in the order of the question's customers."""
    histories = Histories.open(question.histories)
    model = load_ranker(model_dir, question.histories)
    with torch.inference_mode():
        ranks, _ = rank_tables(model.score, histories, question.customers, question.items, k=0, max_length=events_read(spec))
    # One relevant item a customer, and both sides in the order of the customers.
    return expected_gains(ranks["greater"].to_numpy(), ranks["ties"].to_numpy(), K)


def measure(
    name: str, entry: Entry, split: LeaveOneOut, out: Path, *, seeds: int, threads: int, stages: Sequence[Stage]
) -> dict[Stage, Asked]:
    """Fit once per seed and ask; a closed-form model has no chance in it and is fitted once.

    Seconds are of this call: a fit that goes on after a kill counts what was left of it.
    """
    answers: dict[Stage, list[tuple[Floats, Floats]]] = {stage: [] for stage in stages}
    fitting, scoring, parameters = [], [], 0
    for seed in range(seeds):
        directory = out / name / f"seed_{seed}"
        settings = replace(entry.settings, seed=seed, threads=threads)
        report = fit(entry.spec, settings, split.train, directory, resume=True)  # a bench that was killed goes on
        fitting.append(report.seconds)
        parameters = report.parameters
        for stage in stages:
            started = time.monotonic()
            answers[stage].append(ask(directory, entry.spec, getattr(split, stage)))
            scoring.append(time.monotonic() - started)
        if report.steps == 0:
            break
    return {
        stage: Asked(
            ndcg=np.mean([ndcg for ndcg, _ in given], axis=0),
            hit=np.mean([hit for _, hit in given], axis=0),
            ndcg_of_seeds=tuple(float(ndcg.mean()) for ndcg, _ in given),
            hit_of_seeds=tuple(float(hit.mean()) for _, hit in given),
            fit_seconds=float(np.mean(fitting)),
            score_seconds=float(np.mean(scoring)),
            parameters=parameters,
        )
        for stage, given in answers.items()
    }


def result_row(
    of_set: str, stage: Stage, name: str, entry: Entry, asked: Asked, ours: Asked | None, split: LeaveOneOut
) -> dict[str, Any]:
    """One line of the results: figures with intervals, cost, the paired difference transformer - model, and settings."""
    ndcg, hit = bootstrap_mean(asked.ndcg), bootstrap_mean(asked.hit)
    row: dict[str, Any] = {
        "set": of_set,
        "stage": stage,
        "model": name,
        **{f"n_{what}": count for what, count in split.counts.items()},
        "seeds": len(asked.ndcg_of_seeds),
        "ndcg_at_10": ndcg[0],
        "ndcg_at_10_low": ndcg[1],
        "ndcg_at_10_high": ndcg[2],
        "ndcg_at_10_of_seeds": list(asked.ndcg_of_seeds),
        "hr_at_10": hit[0],
        "hr_at_10_low": hit[1],
        "hr_at_10_high": hit[2],
        "hr_at_10_of_seeds": list(asked.hit_of_seeds),
    }
    other = ours is not None and ours is not asked
    paired = bootstrap_mean(cast(Asked, ours).ndcg - asked.ndcg) if other else (None, None, None)
    row |= dict(zip(("transformer_ahead", "transformer_ahead_low", "transformer_ahead_high"), paired, strict=True))
    return row | {
        "fit_seconds": asked.fit_seconds,
        "score_seconds": asked.score_seconds,
        "parameters": asked.parameters,
        "spec": json.dumps(asdict(entry.spec)),
        "train": json.dumps(asdict(entry.settings)),
    }


def bench_sequences(
    data: Path,
    out: Path,
    *,
    sets: Sequence[str],
    seeds: int,
    threads: int,
    stages: Sequence[Stage] = ("validation", "test"),
    models: Sequence[str] = (),
    presets: Mapping[str, Path],
    tell: Callable[[str], None] = print,
) -> pl.DataFrame:
    """Run the bench; returns ``result_row`` lines, also left in ``out/results.parquet``.

    Args:
        data: folder with SET.parquet; sets: names of data sets; models: of the preset's, none for all.
        presets: preset file of a set, where it is not the shipped one.
    """
    torch.set_num_threads(threads)
    rows: list[dict[str, Any]] = []
    for name in sets:
        entries = load_preset(presets.get(name, PRESETS / f"{name}.toml"))
        unknown = sorted(set(models) - set(entries))
        if unknown:
            raise ConfigError(f"{name}: no settings for {', '.join(unknown)}", remedy=f"choose of {', '.join(entries)}")
        split = leave_one_out(read_sequences(data / f"{name}.parquet"), out / name / "histories")
        tell(_protocol(name, split, seeds, threads))
        ours: dict[Stage, Asked] = {}
        for model, entry in entries.items():
            if models and model not in models:
                continue
            measured = measure(model, entry, split, out / name / "models", seeds=seeds, threads=threads, stages=stages)
            if model == "transformer":
                ours = measured
            for stage, asked in measured.items():
                rows.append(result_row(name, stage, model, entry, asked, ours.get(stage), split))
                tell(line(rows[-1]))
        pl.DataFrame(rows, infer_schema_length=None).write_parquet(out / "results.parquet")
    return pl.DataFrame(rows, infer_schema_length=None)


def run_sequences(
    data: Path,
    out: Path,
    *,
    sets: tuple[str, ...],
    models: tuple[str, ...],
    preset: Path | None,
    stages: tuple[str, ...],
    seeds: int,
    threads: int,
) -> pl.DataFrame:
    """The command: check what was asked, run, and leave the page beside the results."""
    chosen = sets or tuple(preset_names())
    unknown = [name for name in chosen if name not in preset_names()] if preset is None else []
    if unknown:
        raise ConfigError(
            f"no settings for the data set(s) {', '.join(unknown)}", remedy=f"choose of {preset_names()}, or give --preset"
        )
    if preset is not None and len(chosen) != 1:
        raise ConfigError("--preset holds the settings of one data set", remedy="name that one with --set")
    other = [stage for stage in stages if stage not in STAGES]
    if other:
        raise ConfigError(f"--stage {', '.join(other)} does not exist", remedy=f"choose of {', '.join(STAGES)}")
    started = time.monotonic()
    told: list[str] = []

    def tell(text: str) -> None:
        print(text, flush=True)
        told.append(text)

    results = bench_sequences(
        data,
        out,
        sets=chosen,
        models=models,
        presets={} if preset is None else {chosen[0]: preset},
        stages=[stage for stage in STAGES if stage in (stages or STAGES)],
        seeds=seeds,
        threads=threads,
        tell=tell,
    )
    protocol = " ".join(text for text in told if not text.startswith(" "))
    page = write_sequences_page(results, out / "results.html", protocol=protocol)
    print(f"took {time.monotonic() - started:,.0f} s; {out / 'results.parquet'} and {page}")
    return results


def _protocol(name: str, split: LeaveOneOut, seeds: int, threads: int) -> str:
    counts = split.counts
    return (
        f"{name}: {counts['customers']:,} customers, {counts['items']:,} items, {counts['events']:,} events. "
        f"Leave-one-out: last event test, second-last validation, the rest trains (also for the test); "
        f"{counts['asked']:,} customers asked, {counts['too_short']:,} with fewer than {LEAST_EVENTS} events only train. "
        f"Full catalogue less what the customer has; equal scores count as the mean over their orders. "
        f"{seeds} seed(s), {threads} thread(s); 95 % bootstrap intervals over customers."
    )


def line(row: Mapping[str, Any]) -> str:
    """A result as one line of text."""
    text = (
        f"  {row['set']:<12}{row['stage']:<11}{row['model']:<18}"
        f"NDCG@10 {row['ndcg_at_10']:.4f} [{row['ndcg_at_10_low']:.4f}, {row['ndcg_at_10_high']:.4f}]  "
        f"HR@10 {row['hr_at_10']:.4f} [{row['hr_at_10_low']:.4f}, {row['hr_at_10_high']:.4f}]  "
        f"fit {row['fit_seconds']:,.0f} s, score {row['score_seconds']:,.0f} s"
    )
    if row["transformer_ahead"] is not None:
        text += (
            f"  transformer ahead by {row['transformer_ahead']:+.4f} "
            f"[{row['transformer_ahead_low']:+.4f}, {row['transformer_ahead_high']:+.4f}]"
        )
    return text
