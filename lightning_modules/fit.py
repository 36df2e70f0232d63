"""Fit a ranker with Lightning, and load a fitted one.

``fit`` leaves in its directory::

    weights.safetensors   parameters and feature scales
    model.json            spec, settings, vocabulary, and a summary of the fit
    training.parquet      one row per step: fit ("final", or "validating"), step, epoch, learning_rate, loss,
                          validation (NDCG@10 on the slice, at the last step of each epoch of the validating fit)
    last/                 checkpoint of the last whole epoch; a resumed fit equals an uninterrupted one bit for bit
    validating/last/      the same of the fit that chose how many epochs to train (see early_stopping)

A closed-form model (EASE, popularity, ...) goes through the same door: it takes no step, so its training.parquet has no
row and there is no checkpoint.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.torch import load_file
from torch import nn

from data_contracts.errors import TrainingError
from lightning_modules.checkpoint_io import save_weights, write_whole
from lightning_modules.early_stopping import Validation, best_epoch, sampled, slice_ndcg
from lightning_modules.family import FAMILY, build_ranker, events_read
from lightning_modules.histories import Histories
from lightning_modules.module import LogRow
from lightning_modules.ranker import Ranker
from lightning_modules.settings import ModelSpec, TrainSettings, as_json
from lightning_modules.shuffled import shown
from lightning_modules.spare_memory import give_back_memory
from lightning_modules.training_loop import OnEpoch, Trained, mean_loss, quiet_and_repeatable, train_epochs

__all__ = ["FitReport", "ModelSpec", "TrainSettings", "Validation", "build_ranker", "fit", "fitted_spec", "load_ranker"]

NOT_TRAINED = Trained([], [], 0, None, "cpu")


@dataclass(frozen=True)
class FitReport:
    """What a fit did."""

    directory: Path
    kind: str
    epochs: int  # of the final fit; 0 for a closed-form model
    steps: int  # of the final fit
    examples: int
    parameters: int
    first_loss: float | None  # mean over the first epoch; None for a closed-form model
    last_loss: float | None  # mean over the last epoch
    validation: tuple[float, ...]  # NDCG@10 on the slice after each epoch of the validating fit; the best one's is kept
    seconds: float  # of this call: less after a resume
    resumed_from_epoch: int | None  # the first epoch (from 0) that this call trained; None if it started anew
    device: str


def fit(
    spec: ModelSpec,
    settings: TrainSettings,
    histories_dir: Path,
    out: Path,
    *,
    resume: bool = False,
    on_epoch: OnEpoch | None = None,
    validation: Validation | None = None,
    on_validation: OnEpoch | None = None,
) -> FitReport:
    """Train one model, or compute it where it has a closed form.

    Args:
        resume: go on from what a killed fit left in ``out``, if anything; otherwise start anew.
        on_epoch: called with (epoch from 0, epochs, mean loss) once that epoch's checkpoint is on disk.
        validation: an earlier slice that chooses the number of epochs (see early_stopping); None: ``settings.epochs``.
        on_validation: called with (epoch from 0, epochs, NDCG@10 on the slice) after each epoch of the validating fit.

    Raises:
        TrainingError: nothing to learn from, nobody to validate on, the loss became NaN, or what is in ``out`` belongs
            to another fit.
    """
    started = time.monotonic()
    histories = _with_purchases(Histories.open(histories_dir))
    with quiet_and_repeatable(settings):
        model = build_ranker(spec, histories)
        model.prepare(histories, settings.recency_half_life_days)
        give_back_memory()
        tried, trained, epochs = NOT_TRAINED, NOT_TRAINED, 0
        if not resume:
            shutil.rmtree(out / "validating", ignore_errors=True)
        if model.examples != "none":
            epochs, purpose = settings.epochs, ""
            if validation is not None:
                tried = _validate(spec, settings, validation, out, resume, on_validation)
                epochs, purpose = best_epoch(tried.validation) + 1, validation.digest()
            trained = train_epochs(
                model, spec, settings, histories, out,
                purpose=purpose, stop_after=epochs, resume=resume, on_epoch=on_epoch,
            )  # fmt: skip
    give_back_memory()
    assert isinstance(model, nn.Module)
    _finite(model)
    report = FitReport(
        directory=out,
        kind=spec.kind,
        epochs=epochs,
        steps=len(trained.rows),
        examples=trained.examples if trained.rows else histories.n_events,
        parameters=sum(p.numel() for p in model.parameters()),
        first_loss=mean_loss(trained.rows, 0) if trained.rows else None,
        last_loss=mean_loss(trained.rows, epochs - 1) if trained.rows else None,
        validation=tuple(tried.validation),
        seconds=time.monotonic() - started,
        resumed_from_epoch=trained.resumed_from_epoch,
        device=trained.device,
    )
    save_weights(out / "weights.safetensors", model)
    log = pa.concat_tables([_log(tried.rows, "validating", tried.validation), _log(trained.rows, "final", [])])
    write_whole(out / "training.parquet", lambda part: pq.write_table(log, part))
    text = _description(spec, settings, histories, report)
    write_whole(out / "model.json", lambda part: part.write_text(text, "utf-8"))
    return report


def load_ranker(model_dir: Path, histories_dir: Path) -> Ranker:
    """The fitted model of ``model_dir``, ready to score customers of ``histories_dir``.

    Raises:
        TrainingError: no fitted model there, or it was trained on another list of assets (or, where the weights belong
            to customers, of customers).
    """
    about = model_dir / "model.json"
    if not about.is_file():
        raise TrainingError(f"no fitted model in {model_dir}: model.json is missing", remedy="run the fit first")
    described = json.loads(about.read_text(encoding="utf-8"))
    histories = Histories.open(histories_dir)
    if described["vocabulary"] != histories.vocabulary:
        raise TrainingError(
            f"model {model_dir} was trained on another list of assets ({described['items']}) "
            f"than {histories_dir} has ({histories.n_items})",
            remedy="score with the training set that the model was fitted on, or fit it again",
        )
    spec = ModelSpec(**described["spec"])
    if FAMILY[spec.kind].of_customers and described["customers"] != _customer_list(histories):
        raise TrainingError(
            f"model {model_dir} ({spec.kind}) was trained on other customers than {histories_dir} has",
            remedy="score with the training set that the model was fitted on, or fit it again",
        )
    model = build_ranker(spec, histories)
    assert isinstance(model, nn.Module)
    model.load_state_dict(load_file(model_dir / "weights.safetensors"))
    model.eval()
    return model


def fitted_spec(model_dir: Path) -> ModelSpec:
    """The shape of the fitted model of ``model_dir``, as it was fitted."""
    return ModelSpec(**json.loads((model_dir / "model.json").read_text(encoding="utf-8"))["spec"])


def _validate(
    spec: ModelSpec,
    settings: TrainSettings,
    validation: Validation,
    out: Path,
    resume: bool,
    on_validation: OnEpoch | None,
) -> Trained:
    """The fit on the earlier set, asked after every epoch for what was bought next."""
    earlier = _with_purchases(Histories.open(validation.histories_dir))
    asked = sampled(validation, settings.seed)
    model = build_ranker(spec, earlier)
    model.prepare(earlier, settings.recency_half_life_days)
    return train_epochs(
        model, spec, settings, earlier, out / "validating",
        purpose=validation.digest(),
        measure=lambda fitted: slice_ndcg(fitted, earlier, asked, events_read(spec), shown(settings)),
        resume=resume,
        on_epoch=on_validation,
    )  # fmt: skip


def _with_purchases(histories: Histories) -> Histories:
    if not bool((histories.first > 0).any()):
        raise TrainingError(
            f"nothing to learn from: the training set has {histories.n_events} events and no first purchase",
            remedy="use a later as_of, or check that transactions of side 'buy' were accepted",
        )
    return histories


def _finite(model: nn.Module) -> None:
    """A last step can spoil the weights after the last loss was read."""
    spoilt = [name for name, value in model.state_dict().items() if not bool(value.isfinite().all())]
    if spoilt:
        raise TrainingError(
            f"the fitted weights are not finite: {', '.join(spoilt)}",
            remedy="lower base_lr, or look for extreme values in the features of the training set",
        )


def _customer_list(histories: Histories) -> str:
    """SHA-256 of the customer ids in order."""
    return hashlib.sha256("\n".join(histories.customer_ids).encode()).hexdigest()


def _log(rows: list[LogRow], name: str, validation: list[float]) -> pa.Table:
    ends = {row[1]: place for place, row in enumerate(rows)}  # the last step of each epoch
    values: list[float | None] = [None] * len(rows)
    for epoch, value in enumerate(validation):
        values[ends[epoch]] = value
    steps, epochs, rates, losses = zip(*rows, strict=True) if rows else ((), (), (), ())
    return pa.table(
        {
            "fit": pa.array([name] * len(rows), pa.string()),
            "step": pa.array(steps, pa.int32()),
            "epoch": pa.array(epochs, pa.int32()),
            "learning_rate": pa.array(rates, pa.float64()),
            "loss": pa.array(losses, pa.float64()),
            "validation": pa.array(values, pa.float64()),
        }
    )


def _description(spec: ModelSpec, settings: TrainSettings, histories: Histories, report: FitReport) -> str:
    described = {
        **as_json(spec, settings),
        "vocabulary": histories.vocabulary,
        "items": histories.n_items,
        "customers": _customer_list(histories),
        "cut": histories.cut.isoformat(),
        # No time and no path: the same fit writes the same bytes.
        "fit": {k: v for k, v in asdict(report).items() if k not in ("directory", "seconds", "resumed_from_epoch")},
    }
    return json.dumps(described, indent=1) + "\n"
