"""Steps: train and evaluate. Fits a model on a histories directory and ranks the catalogue for what came next."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import cast

import polars as pl
import pyarrow.parquet as pq
import torch

from data_contracts.errors import TrainingError
from data_contracts.transactions import last_possible_date
from flows.config import RunConfig
from lightning_modules.ease import MOST_ITEMS
from lightning_modules.evaluation import rank_tables
from lightning_modules.family import computed_ranker, events_read
from lightning_modules.fit import Validation, fit, fitted_spec, load_ranker
from lightning_modules.histories import Histories
from lightning_modules.settings import ModelKind, ModelSpec, TrainSettings
from lightning_modules.training_loop import OnEpoch
from reports.ranking import EASE, POPULARITY, Ranking, summarise
from reports.sufficiency import sufficiency

log = logging.getLogger("nightfolio")
ALWAYS: tuple[ModelKind, ...] = (POPULARITY, EASE)
"""What every model is measured against: computed at evaluation where it is not among the models (EASE: if it is possible)."""


def model_spec(config: RunConfig, kind: ModelKind) -> ModelSpec:
    """The model's shape as the learning room takes it."""
    return ModelSpec(kind=kind, **config.model.model_dump(), **config.baselines.model_dump())


def train_settings(config: RunConfig) -> TrainSettings:
    """The fit's settings as the learning room takes them."""
    train = config.train
    return TrainSettings(
        epochs=train.epochs,
        batch_size=train.batch_size,
        base_lr=train.learning_rate,
        warmup_fraction=train.warmup_fraction,
        decay=train.decay,
        loss=train.loss,
        negatives=train.negatives,
        negatives_power=train.negatives_power,
        gbce_calibration=train.gbce_calibration,
        patience=train.patience,
        recency_half_life_days=train.recency_half_life_days,
        seed=config.seed,
        threads=config.threads,
    )


def train_model(
    config: RunConfig, kind: ModelKind, histories: Path, out: Path, validation: Path | None = None, *, resume: bool = False
) -> Path:
    """Fits ``kind`` on ``histories``; weights and training curve land in ``out``.

    ``validation`` is what :func:`write_validation` wrote, or None: no early stopping. ``resume`` goes on from the last
    whole epoch that a killed run left in ``out``.
    """
    width = len(f"{config.train.epochs}")

    def told(what: str) -> OnEpoch:
        return lambda epoch, epochs, value: log.info("  %s epoch %*d/%d %s %.4f", kind, width, epoch + 1, epochs, what, value)

    report = fit(
        model_spec(config, kind),
        train_settings(config),
        histories,
        out,
        resume=resume,
        on_epoch=told("loss"),
        validation=None if validation is None else read_validation(validation),
        on_validation=told("validation NDCG@10"),
    )
    if report.resumed_from_epoch is not None:
        log.info("  %s went on from epoch %d", kind, report.resumed_from_epoch + 1)
    return out


def write_validation(snapshot: Path, earlier: Path, cut: date, until: date) -> Path:
    """Writes ``asked.parquet`` into the training set ``earlier`` of ``cut``: what its customers first bought up to ``until``."""
    relevant_pairs(snapshot, Histories.open(earlier), cut, until).write_parquet(earlier / "asked.parquet")
    return earlier


def read_validation(earlier: Path) -> Validation:
    """The slice that :func:`write_validation` wrote."""
    asked = pl.read_parquet(earlier / "asked.parquet")
    return Validation(earlier, asked["customer"].to_numpy(), asked["item"].to_numpy())


def relevant_pairs(snapshot: Path, histories: Histories, cut: date, as_of: date) -> pl.DataFrame:
    """Columns customer, item (indices): first buys in (cut, as_of] by customers with an earlier buy.

    Assets outside the catalogue of the cut, and customers with no history, are not asked for: nobody could know them.
    """
    buys = pl.scan_parquet(snapshot / "transactions.parquet").filter((pl.col("side") == "buy") & (last_possible_date() <= as_of))
    # A purchase known only to lie in a window that straddles the cut is neither learnt from nor asked for.
    first_possible = last_possible_date() - pl.duration(days=pl.col("date_window_days").fill_null(0))
    pairs = (
        buys.group_by("customer_id", "asset_id")
        .agg(first_possible.min().alias("date"))
        .filter(pl.col("date") > cut)
        .select("customer_id", "asset_id")
        .collect()
    )
    lengths = histories.offsets[1:] - histories.offsets[:-1]
    customers = pl.DataFrame({"customer_id": histories.customer_ids}).with_columns(
        customer=pl.int_range(pl.len(), dtype=pl.Int32), length=pl.Series(torch.as_tensor(lengths).numpy())
    )
    items = pl.DataFrame({"asset_id": histories.asset_ids}).with_columns(item=pl.int_range(1, pl.len() + 1, dtype=pl.Int32))
    return (
        pairs.join(customers.filter(pl.col("length") > 0), on="customer_id")
        .join(items, on="asset_id")
        .select("customer", "item")
        .sort("customer", "item")
    )


def evaluate_models(
    config: RunConfig,
    snapshot: Path,
    histories_dir: Path,
    models: Mapping[str, Path],
    cut: date,
    as_of: date,
    out: Path,
) -> Path:
    """Rank tables of every model, of popularity and of EASE, ``metrics.parquet`` (:func:`reports.ranking.summarise`)
    and ``sufficiency.parquet`` (:func:`reports.sufficiency.sufficiency`).

    ``models`` maps the name that a fit has in the metrics to its folder; ``models.json`` records which that was.
    Raises TrainingError where nobody bought anything new in the horizon.
    """
    torch.set_num_threads(config.threads)
    out.mkdir(parents=True, exist_ok=True)
    histories = Histories.open(histories_dir)
    pairs = relevant_pairs(snapshot, histories, cut, as_of)
    if pairs.is_empty():
        raise TrainingError(
            f"no customer with a history bought a new asset between {cut} and {as_of}: there is nothing to evaluate on",
            remedy="choose a longer evaluate.horizon_days, or a later as_of",
        )
    rankings: dict[str, Ranking] = {}
    always = [kind for kind in ALWAYS if kind not in models and (kind != EASE or histories.n_items <= MOST_ITEMS)]
    for name in (*always, *models):
        if name in models:
            spec, model = fitted_spec(models[name]), load_ranker(models[name], histories_dir)
        else:
            spec = model_spec(config, cast("ModelKind", name))
            model = computed_ranker(spec, histories)
        with torch.inference_mode():
            relevant, top = rank_tables(
                model.score,
                histories,
                pairs["customer"].to_numpy(),
                pairs["item"].to_numpy(),
                k=max(10, config.evaluate.k),
                max_length=events_read(spec),
            )
        pq.write_table(relevant, out / f"{name}.relevant.parquet")
        pq.write_table(top, out / f"{name}.top.parquet")
        rankings[name] = Ranking(as_frame(relevant), as_frame(top))
    segments = pl.read_parquet(histories_dir / "customers.parquet").select(
        pl.int_range(pl.len(), dtype=pl.Int32).alias("customer"),
        "customer_type",
        "risk_level",
        pl.col("n_buys").cast(pl.Int64).alias("history_length"),
    )
    metrics = summarise(
        rankings,
        segments,
        n_items=histories.n_items,
        cutoffs=tuple(sorted({5, 10, config.evaluate.k})),
        seed=config.seed,
    )
    metrics.write_parquet(out / "metrics.parquet")
    fits = {name: folder.name for name, folder in models.items()}
    (out / "models.json").write_text(json.dumps(fits, indent=2), encoding="utf-8")
    sufficiency(segments["history_length"]).write_parquet(out / "sufficiency.parquet")
    return out


def as_frame(table: object) -> pl.DataFrame:
    """An Arrow table as a Polars one."""
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame
