"""Step: ablation. The model fitted anew without each of its parts, on one budget, and asked what the whole one was asked.

Reference and variants learn from the same customers (a stated sample), for the same epochs, from the same seeds. All are
asked on the evaluation's protocol: everybody who bought something new after the cut, the full catalogue less what was
bought before. Nothing here is published; the tables are.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import polars as pl

from data_contracts.errors import ConfigError, TrainingError
from flows.config import RunConfig
from flows.learn import as_frame, model_spec, relevant_pairs, train_settings
from lightning_modules.ablations import ablation
from lightning_modules.evaluation import rank_tables
from lightning_modules.family import FAMILY, events_read
from lightning_modules.fit import fit, load_ranker
from lightning_modules.histories import Histories
from lightning_modules.sample import drawn_customers, write_sample
from lightning_modules.settings import ModelKind, ModelSpec, TrainSettings
from lightning_modules.shuffled import shown
from reports.ablation import VariantScores, ablation_table
from reports.ranking import per_customer

log = logging.getLogger("nightfolio")
REFERENCE = "reference"
CUTOFF = 10
ASKED = "asked.parquet"


@dataclass(frozen=True)
class Fit:
    """One fit: the reference, or a variant."""

    kind: ModelKind
    variant: str
    seed: int

    @property
    def name(self) -> str:
        """Its folder."""
        return f"{self.kind}-{self.variant}-{self.seed}"


def kinds(config: RunConfig) -> tuple[ModelKind, ...]:
    """The models that are looked into."""
    return config.audit.models or (config.recommend.model,)


def base(config: RunConfig, kind: ModelKind) -> tuple[ModelSpec, TrainSettings]:
    """The reference: the night's model, on the audit's budget."""
    settings = train_settings(config)
    return model_spec(config, kind), replace(settings, epochs=config.audit.epochs or settings.epochs)


def applicable(config: RunConfig, kind: ModelKind) -> tuple[str, ...]:
    """The configured variants that change something of ``kind``."""
    return tuple(name for name in config.audit.ablations if ablation(name).why_not(*base(config, kind)) is None)


def planned(config: RunConfig) -> list[Fit]:
    """Every fit, each model's references first; none for a model to which no variant applies."""
    seeds = range(config.seed, config.seed + config.audit.seeds)
    return [
        Fit(kind, variant, seed)
        for kind in kinds(config)
        if (variants := applicable(config, kind))
        for variant in (REFERENCE, *variants)
        for seed in seeds
    ]


def prepare(config: RunConfig, snapshot: Path, past: Path, cut: date, as_of: date, out: Path) -> Path:
    """Writes what every fit shares into ``out``: the questions (``asked.parquet``), and the sample's training set.

    Returns the training set: ``out/sample``, or ``past`` itself where everybody is learnt from.

    Raises:
        TrainingError: nobody bought anything new after the cut.
        ConfigError: a model whose weights belong to its customers cannot be asked about others than the sample.
    """
    out.mkdir(parents=True, exist_ok=True)
    histories = Histories.open(past)
    asked = relevant_pairs(snapshot, histories, cut, as_of)
    if asked.is_empty():
        raise TrainingError(
            f"no customer with a history bought a new asset between {cut} and {as_of}: there is nothing to ask",
            remedy="choose a longer evaluate.horizon_days, or a later as_of",
        )
    asked.write_parquet(out / ASKED)
    known = int((histories.lengths > 0).sum())
    if not 0 < config.audit.sample < known:
        return past
    bound = [kind for kind in kinds(config) if FAMILY[kind].of_customers and applicable(config, kind)]
    if bound:
        raise ConfigError(
            f"the weights of {', '.join(bound)} belong to customers: fitted on a sample, it ranks for nobody else",
            remedy="set audit.sample to 0 (all customers), or leave the model out",
        )
    return write_sample(histories, drawn_customers(histories, config.audit.sample, config.seed), out / "sample")


def fit_and_ask(config: RunConfig, one: Fit, learnt: Path, past: Path, shared: Path, threads: int) -> Path:
    """Fits ``one`` on ``learnt``, asks it about everybody; ``scores.parquet`` (customer, ndcg) in the folder returned.

    Where the fit of a variant fails, ``failed.txt`` says how instead.
    """
    spec, settings = base(config, one.kind)
    settings = replace(settings, seed=one.seed, threads=threads)
    if one.variant != REFERENCE:
        spec, settings = ablation(one.variant).of(spec, settings)
    out = shared / one.name
    try:
        fit(spec, settings, learnt, out)
    except TrainingError as error:
        out.mkdir(parents=True, exist_ok=True)
        (out / "failed.txt").write_text(error.message, encoding="utf-8")
        return out
    asked = pl.read_parquet(shared / ASKED)
    model, reads = load_ranker(out, past), shown(settings)
    ranks, _ = rank_tables(
        lambda batch: model.score(reads(batch)),
        Histories.open(past),
        asked["customer"].to_numpy(),
        asked["item"].to_numpy(),
        k=0,
        max_length=events_read(spec),
    )
    scores = per_customer(as_frame(ranks), cutoffs=(CUTOFF,)).select("customer", ndcg=f"ndcg_at_{CUTOFF}")
    scores.write_parquet(out / "scores.parquet")
    return out


def tell(one: Fit, out: Path) -> None:
    """Logs how a fit ended."""
    failed = _failure(out.parent, [one])
    if failed is None:
        log.info("  %s NDCG@%d %.4f", one.name, CUTOFF, _scores(out.parent, one)["ndcg"].mean())
    else:
        log.warning("  %s could not be fitted: %s", one.name, failed)


def write_tables(config: RunConfig, learnt: Path, shared: Path, out: Path) -> Path:
    """``ablation.parquet``: a row a model and variant (:func:`reports.ablation.ablation_table`), with the budget beside it:
    ``sample`` (customers learnt from) and ``epochs``."""
    out.mkdir(parents=True, exist_ok=True)
    customers = int((Histories.open(learnt).lengths > 0).sum())
    table = ablation_table(list(_variants(config, shared)), config.seed)
    budget = {kind: base(config, kind)[1].epochs for kind in kinds(config)}
    table.with_columns(
        pl.lit(customers, pl.Int64).alias("sample"),
        pl.col("model").replace_strict(budget, return_dtype=pl.Int64).alias("epochs")
        if budget
        else pl.lit(None, pl.Int64).alias("epochs"),
    ).write_parquet(out / "ablation.parquet")
    return out / "ablation.parquet"


def _variants(config: RunConfig, shared: Path) -> Iterator[VariantScores]:
    seeds = range(config.seed, config.seed + config.audit.seeds)
    for kind in kinds(config):
        spec, settings = base(config, kind)
        for name in config.audit.ablations:
            change = ablation(name)
            about = (str(kind), name, change.part, change.meaning_for(kind))
            reason = change.why_not(spec, settings)
            if reason is not None:
                yield VariantScores(*about, None, "not_applicable", reason)
                continue
            broken = _failure(shared, (Fit(kind, REFERENCE, seed) for seed in seeds))
            if broken is not None:
                yield VariantScores(*about, None, "not_measured", f"the reference could not be fitted: {broken}")
                continue
            broken = _failure(shared, (Fit(kind, name, seed) for seed in seeds))
            if broken is not None:
                yield VariantScores(*about, None, "did_not_train", broken)
                continue
            pairs = [
                _scores(shared, Fit(kind, REFERENCE, seed))
                .rename({"ndcg": "reference"})
                .join(_scores(shared, Fit(kind, name, seed)), on="customer", validate="1:1", maintain_order="left")
                .select(pl.lit(seed, pl.Int64).alias("seed"), "customer", "reference", "ndcg")
                for seed in seeds
            ]
            yield VariantScores(*about, pl.concat(pairs))


def _failure(shared: Path, fits: Iterable[Fit]) -> str | None:
    for one in fits:
        path = shared / one.name / "failed.txt"
        if path.exists():
            return path.read_text(encoding="utf-8")
    return None


def _scores(shared: Path, one: Fit) -> pl.DataFrame:
    return pl.read_parquet(shared / one.name / "scores.parquet")
