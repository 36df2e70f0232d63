"""Epochs of one fit under Lightning: repeatable, checkpointed at the end of each epoch, resumed to the bit."""

from __future__ import annotations

import gc
import hashlib
import json
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from data_contracts.errors import TrainingError
from lightning_modules.anchors import AnchorBatches, AnchorExamples
from lightning_modules.checkpoint_io import SafetensorsCheckpointIO
from lightning_modules.early_stopping import is_over
from lightning_modules.examples import POOL_BATCHES, LengthBuckets, PurchaseExamples, SequenceExamples
from lightning_modules.family import FAMILY
from lightning_modules.histories import Histories
from lightning_modules.history_files import ARROW_FILES
from lightning_modules.lean_lightning import L
from lightning_modules.module import LogRow, RankerModule
from lightning_modules.objective import Negatives
from lightning_modules.ranker import Ranker
from lightning_modules.settings import ModelSpec, TrainSettings, as_json
from lightning_modules.shuffled import ShuffledExamples
from lightning_modules.spare_memory import give_back_memory

OnEpoch = Callable[[int, int, float], None]
Measure = Callable[[Ranker], float]
Learnt = PurchaseExamples | SequenceExamples | AnchorExamples | ShuffledExamples
EXAMPLES: dict[str, type[PurchaseExamples] | type[SequenceExamples]] = {
    "purchases": PurchaseExamples,
    "sequences": SequenceExamples,
}


@dataclass(frozen=True)
class Trained:
    """What the epochs left behind; the model itself was changed in place."""

    rows: list[LogRow]
    validation: list[float]  # one value an epoch; empty without a measure
    examples: int
    resumed_from_epoch: int | None
    device: str


def train_epochs(
    model: Ranker,
    spec: ModelSpec,
    settings: TrainSettings,
    histories: Histories,
    out: Path,
    *,
    purpose: str = "",
    stop_after: int | None = None,
    measure: Measure | None = None,
    resume: bool = False,
    on_epoch: OnEpoch | None = None,
) -> Trained:
    """Train ``model`` for ``settings.epochs`` epochs, or along their schedule up to an earlier end.

    Args:
        out: ``out/last`` holds the checkpoint of the last whole epoch.
        purpose: part of what a checkpoint must agree on to be continued.
        stop_after: end after this many epochs, on the learning rates of ``settings.epochs``.
        measure: called after every epoch; ends the training when ``settings.patience`` epochs brought nothing better.
        resume: go on from ``out/last`` if there is one.
        on_epoch: called with (epoch from 0, epochs, mean loss, or the measure) once that epoch's checkpoint is on disk.

    Raises:
        TrainingError: the loss became NaN, or ``out/last`` belongs to another fit.
    """
    examples, batches = _examples(model, spec, settings, histories)
    negatives = None if settings.loss == "softmax" else Negatives.of(histories, settings.negatives_power)
    module = RankerModule(model, settings, len(batches) * settings.epochs, negatives)
    identity = _identity(spec, settings, histories, purpose)
    last = out / "last" / "checkpoint.safetensors"
    done = _resumable(last, identity) if resume else None
    if done is None:
        last.unlink(missing_ok=True)  # of an earlier fit: a kill before the first epoch ends must not bring it back
    epochs = settings.epochs if stop_after is None else stop_after
    if done is not None and measure is not None and is_over(done["validation"], settings.patience):
        epochs = len(done["validation"])  # it was stopped early, and only what came after was lost
    # What the Trainer's deterministic=True does, but that imports torch's compiler (torch.use_deterministic_algorithms does).
    torch.set_deterministic_debug_mode("error")
    trainer = L.Trainer(
        accelerator="auto",
        devices=1,
        max_epochs=epochs,
        benchmark=False,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=out,
        plugins=[SafetensorsCheckpointIO()],
        callbacks=[_EndOfEpoch(last, identity, measure, on_epoch)],
    )
    give_back_memory()
    loader = DataLoader(examples, sampler=batches, batch_size=None)
    trainer.fit(module, loader, ckpt_path=None if done is None else str(last), weights_only=True)
    device = str(trainer.strategy.root_device)
    return Trained(module.log_rows, module.validation, len(examples), module.resumed_from_epoch, device)


def _examples(
    model: Ranker, spec: ModelSpec, settings: TrainSettings, histories: Histories
) -> tuple[Learnt, LengthBuckets | AnchorBatches]:
    """What the model learns from, and the batches of an epoch; in the order that the settings ask for."""
    examples, batches = _in_order(model, spec, settings, histories)
    if settings.order == "shuffled":
        return ShuffledExamples(examples, settings.seed, sequences=isinstance(examples, SequenceExamples)), batches
    return examples, batches


def _in_order(
    model: Ranker, spec: ModelSpec, settings: TrainSettings, histories: Histories
) -> tuple[PurchaseExamples | SequenceExamples | AnchorExamples, LengthBuckets | AnchorBatches]:
    if model.examples == "anchors":
        from lightning_modules.signal_attention import SignalAttention

        assert isinstance(model, SignalAttention)
        asked = AnchorExamples(histories, model.anchor_days(histories), spec.horizon_days)
        if len(asked) == 0:
            raise TrainingError(
                f"no past day leaves {spec.horizon_days} days to ask about and enough customers who bought in them",
                remedy="choose a shorter model.horizon_days, or bring a longer history",
            )
        return asked, AnchorBatches(asked.anchors, settings.batch_size, settings.seed)
    examples = EXAMPLES[model.examples](histories, spec.max_length, settings.recency_half_life_days)
    if isinstance(examples, SequenceExamples):
        examples.owned = spec.exclude_owned
    pool = 1 if FAMILY[spec.kind].packed else POOL_BATCHES
    return examples, LengthBuckets(examples.lengths, examples.chances, settings.batch_size, settings.seed, pool)


def mean_loss(rows: list[LogRow], epoch: int) -> float:
    """Mean loss over the steps of one epoch."""
    losses = [loss for _, at, _, loss in rows if at == epoch]
    return sum(losses) / len(losses)


@contextmanager
def quiet_and_repeatable(settings: TrainSettings) -> Iterator[None]:
    """Pins threads and random numbers for the fit, silences Lightning's advice, and puts everything back."""
    threads = torch.get_num_threads()
    deterministic = torch.get_deterministic_debug_mode()
    filled = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    levels = {name: logging.getLogger(name).level for name in ("pytorch_lightning", "lightning_fabric")}
    freeze = gc.get_freeze_count() == 0  # else somebody did, and will undo it
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
            # Some hundred thousand imported objects are no garbage: looking through them takes as long as some steps.
            if freeze:
                gc.freeze()
            yield
    finally:
        if freeze:
            gc.unfreeze()
        torch.set_num_threads(threads)
        torch.set_deterministic_debug_mode(deterministic)
        torch.utils.deterministic.fill_uninitialized_memory = filled  # type: ignore[attr-defined]
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


class _EndOfEpoch(L.Callback):  # type: ignore[misc]
    """Measures, writes the checkpoint, tells the caller, and ends the training where nothing better comes."""

    def __init__(self, path: Path, identity: str, measure: Measure | None, on_epoch: OnEpoch | None) -> None:
        self.path = path
        self.identity = identity
        self.measure = measure
        self.on_epoch = on_epoch

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        checkpoint["fit_identity"] = self.identity

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        pl_module.read_losses()
        told = mean_loss(pl_module.log_rows, trainer.current_epoch)
        if self.measure is not None:
            told = self.measure(pl_module.model)
            pl_module.validation.append(told)
            trainer.should_stop = is_over(pl_module.validation, pl_module.settings.patience)
        trainer.save_checkpoint(self.path)
        if self.on_epoch is not None:
            self.on_epoch(trainer.current_epoch, trainer.max_epochs, told)


def _identity(spec: ModelSpec, settings: TrainSettings, histories: Histories, purpose: str) -> str:
    """What must be equal for a checkpoint to be continued: spec, settings, purpose and the very same training set."""
    digest = hashlib.sha256(json.dumps([as_json(spec, settings), purpose], sort_keys=True).encode())
    for name in (*ARROW_FILES, "items.parquet"):
        with (histories.directory / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _resumable(last: Path, identity: str) -> dict[str, Any] | None:
    """The checkpoint to go on from, if there is one."""
    if not last.is_file():
        return None
    checkpoint = SafetensorsCheckpointIO().load_checkpoint(last)
    if checkpoint.get("fit_identity") != identity:
        raise TrainingError(
            f"the checkpoint in {last.parent} belongs to a fit with other settings or other data",
            remedy="fit with resume=False, or into another directory",
        )
    return checkpoint
