"""Fit a ranker with Lightning, and load a fitted one.

``fit`` leaves in its directory::

    weights.safetensors   parameters and feature scales
    model.json            spec, settings, vocabulary, and a summary of the fit
    training.parquet      step, epoch, learning_rate, loss: one row per step
    last/                 checkpoint of the last whole epoch; a resumed fit equals an uninterrupted one bit for bit

A closed-form model (EASE, popularity, ...) goes through the same door: it takes no step, so its training.parquet has no
row and there is no checkpoint.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytorch_lightning as L
import torch
from safetensors.torch import load_file
from torch import nn
from torch.utils.data import DataLoader

from data_contracts.errors import TrainingError
from lightning_modules.checkpoint_io import SafetensorsCheckpointIO, save_weights, write_whole
from lightning_modules.examples import POOL_BATCHES, LengthBuckets, PurchaseExamples, SequenceExamples
from lightning_modules.family import FAMILY, build_ranker
from lightning_modules.histories import Histories
from lightning_modules.module import RankerModule
from lightning_modules.ranker import Ranker
from lightning_modules.settings import ModelSpec, TrainSettings, as_json

__all__ = ["FitReport", "ModelSpec", "TrainSettings", "build_ranker", "fit", "load_ranker"]

OnEpoch = Callable[[int, int, float], None]
LogRow = tuple[int, int, float, float]
EXAMPLES: dict[str, type[PurchaseExamples] | type[SequenceExamples]] = {
    "purchases": PurchaseExamples,
    "sequences": SequenceExamples,
}


@dataclass(frozen=True)
class FitReport:
    """What a fit did."""

    directory: Path
    kind: str
    epochs: int
    steps: int
    examples: int
    parameters: int
    first_loss: float | None  # mean over the first epoch; None for a closed-form model
    last_loss: float | None  # mean over the last epoch
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
) -> FitReport:
    """Train one model.

    Args:
        resume: go on from ``out/last`` if there is one; otherwise start anew.
        on_epoch: called with (epoch from 0, epochs, mean loss) once that epoch's checkpoint is on disk.

    Raises:
        TrainingError: nothing to learn from, the loss became NaN, or ``out/last`` belongs to another fit.
    """
    started = time.monotonic()
    histories = Histories.open(histories_dir)
    with _quiet_and_repeatable(settings):
        model = build_ranker(spec, histories)
        if not bool((histories.first > 0).any()):
            raise TrainingError(
                f"nothing to learn from: the training set has {histories.n_events} events and no first purchase",
                remedy="use a later as_of, or check that transactions of side 'buy' were accepted",
            )
        model.prepare(histories, settings.recency_half_life_days)
        if model.examples == "none":
            report = _report(model, out, spec, [], histories.n_events, 0, time.monotonic() - started, None, "cpu")
            _write_outputs(model, out, histories, spec, settings, [], report)
            return report
        examples = EXAMPLES[model.examples](histories, spec.max_length, settings.recency_half_life_days)
        # A packed model needs no similar lengths: its batches are random.
        pool = 1 if spec.kind == "transformer" else POOL_BATCHES
        batches = LengthBuckets(examples.lengths, examples.chances, settings.batch_size, settings.seed, pool)
        module = RankerModule(model, settings, len(batches) * settings.epochs)
        identity = _identity(spec, settings, histories)
        last = out / "last" / "checkpoint.safetensors"
        resumed = _resumable(last, identity) if resume else None
        if resumed is None:
            last.unlink(missing_ok=True)  # of an earlier fit: a kill before the first epoch ends must not bring it back
        keep = _KeepLastEpoch(last, identity, on_epoch)
        trainer = L.Trainer(
            accelerator="auto",
            devices=1,
            max_epochs=settings.epochs,
            deterministic=True,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=out,
            plugins=[SafetensorsCheckpointIO()],
            callbacks=[keep],
        )
        loader = DataLoader(examples, sampler=batches, batch_size=None)
        trainer.fit(module, loader, ckpt_path=None if resumed is None else str(last), weights_only=True)
        device = str(trainer.strategy.root_device)
    seconds, rows = time.monotonic() - started, module.log_rows
    report = _report(model, out, spec, rows, len(examples), settings.epochs, seconds, module.resumed_from_epoch, device)
    _write_outputs(model, out, histories, spec, settings, rows, report)
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
    if FAMILY[spec.kind].of_customers and described["customers"] != customer_list(histories):
        raise TrainingError(
            f"model {model_dir} ({spec.kind}) was trained on other customers than {histories_dir} has",
            remedy="score with the training set that the model was fitted on, or fit it again",
        )
    model = build_ranker(spec, histories)
    assert isinstance(model, nn.Module)
    model.load_state_dict(load_file(model_dir / "weights.safetensors"))
    model.eval()
    return model


def customer_list(histories: Histories) -> str:
    """SHA-256 of the customer ids in order."""
    return hashlib.sha256("\n".join(histories.customer_ids).encode()).hexdigest()


class _KeepLastEpoch(L.Callback):  # type: ignore[misc]
    """Writes the checkpoint when an epoch is over, then tells the caller."""

    def __init__(self, path: Path, identity: str, on_epoch: OnEpoch | None) -> None:
        self.path = path
        self.identity = identity
        self.on_epoch = on_epoch

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        checkpoint["fit_identity"] = self.identity

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        trainer.save_checkpoint(self.path)
        if self.on_epoch is not None:
            self.on_epoch(trainer.current_epoch, trainer.max_epochs, mean_loss(pl_module.log_rows, trainer.current_epoch))


def mean_loss(rows: list[LogRow], epoch: int) -> float:
    """Mean loss over the steps of one epoch."""
    losses = [loss for _, at, _, loss in rows if at == epoch]
    return sum(losses) / len(losses)


def _identity(spec: ModelSpec, settings: TrainSettings, histories: Histories) -> str:
    """What must be equal for a checkpoint to be continued: spec, settings and the very same training set."""
    digest = hashlib.sha256(json.dumps(as_json(spec, settings), sort_keys=True).encode())
    for name in ("events.arrow", "offsets.arrow", "item_features.arrow", "customer_features.arrow", "items.parquet"):
        with (histories.directory / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _resumable(last: Path, identity: str) -> Path | None:
    """The checkpoint to go on from, if there is one."""
    if not last.is_file():
        return None
    if SafetensorsCheckpointIO().load_checkpoint(last).get("fit_identity") != identity:
        raise TrainingError(
            f"the checkpoint in {last.parent} belongs to a fit with other settings or other data",
            remedy="fit with resume=False, or into another directory",
        )
    return last


@contextmanager
def _quiet_and_repeatable(settings: TrainSettings) -> Iterator[None]:
    """Pins threads and random numbers for the fit, silences Lightning's advice, and puts everything back."""
    threads = torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    filled = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    levels = {name: logging.getLogger(name).level for name in ("pytorch_lightning", "lightning_fabric")}
    # Needed by deterministic matmul on CUDA; must be set before the first use of the device.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    try:
        with torch.random.fork_rng(), warnings.catch_warnings():
            # Advice on worker processes, logging intervals and idle GPUs: none of it is a fault.
            warnings.filterwarnings("ignore", module=r"pytorch_lightning|lightning_fabric|torch\.utils\.data")
            for name in levels:
                logging.getLogger(name).setLevel(logging.WARNING)
            torch.set_num_threads(settings.threads)
            torch.manual_seed(settings.seed)
            # A help for finding reads of memory that nobody wrote; it writes every buffer once more than needed.
            torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
            yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)
        torch.utils.deterministic.fill_uninitialized_memory = filled  # type: ignore[attr-defined]
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def _report(
    model: Ranker,
    out: Path,
    spec: ModelSpec,
    rows: list[LogRow],
    examples: int,
    epochs: int,
    seconds: float,
    resumed_from_epoch: int | None,
    device: str,
) -> FitReport:
    assert isinstance(model, nn.Module)
    return FitReport(
        directory=out,
        kind=spec.kind,
        epochs=epochs,
        steps=len(rows),
        examples=examples,
        parameters=sum(p.numel() for p in model.parameters()),
        first_loss=mean_loss(rows, 0) if rows else None,
        last_loss=mean_loss(rows, epochs - 1) if rows else None,
        seconds=seconds,
        resumed_from_epoch=resumed_from_epoch,
        device=device,
    )


def _write_outputs(
    model: Ranker,
    out: Path,
    histories: Histories,
    spec: ModelSpec,
    settings: TrainSettings,
    rows: list[LogRow],
    report: FitReport,
) -> None:
    assert isinstance(model, nn.Module)
    save_weights(out / "weights.safetensors", model)
    steps, epochs, rates, losses = zip(*rows, strict=True) if rows else ((), (), (), ())
    log = pa.table(
        {
            "step": pa.array(steps, pa.int32()),
            "epoch": pa.array(epochs, pa.int32()),
            "learning_rate": pa.array(rates, pa.float64()),
            "loss": pa.array(losses, pa.float64()),
        }
    )
    write_whole(out / "training.parquet", lambda part: pq.write_table(log, part))
    described = {
        **as_json(spec, settings),
        "vocabulary": histories.vocabulary,
        "items": histories.n_items,
        "customers": customer_list(histories),
        "cut": histories.cut.isoformat(),
        # No time and no path: the same fit writes the same bytes.
        "fit": {k: v for k, v in asdict(report).items() if k not in ("directory", "seconds", "resumed_from_epoch")},
    }
    text = json.dumps(described, indent=1) + "\n"
    write_whole(out / "model.json", lambda part: part.write_text(text, "utf-8"))
