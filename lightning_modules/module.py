"""The LightningModule: steps, logging and the optimiser. What is learned lives in the models."""

from __future__ import annotations

import math
from typing import Any

import pytorch_lightning as L
import torch
from torch import Tensor, nn

from data_contracts.errors import TrainingError
from lightning_modules.examples import TrainingBatch
from lightning_modules.ranker import Ranker
from lightning_modules.settings import TrainSettings
from lightning_modules.warmup import learning_rate

# Keeps the random numbers of a step apart from those of the initialisation and of the batch order.
STEP_SEED = 1_000_003


class RankerModule(L.LightningModule):  # type: ignore[misc]
    """Fits one ranker. ``log_rows`` holds (step, epoch, learning rate, loss) of every step, also across a resume."""

    def __init__(self, model: Ranker, settings: TrainSettings, total_steps: int) -> None:
        super().__init__()
        assert isinstance(model, nn.Module)
        self.model = model
        self.settings = settings
        self.total_steps = total_steps
        self.log_rows: list[tuple[int, int, float, float]] = []
        self.resumed_from_epoch: int | None = None

    def rate(self, step: int) -> float:
        """The learning rate of optimiser step ``step``."""
        settings = self.settings
        return learning_rate(step, self.total_steps, settings.base_lr, settings.warmup_fraction, settings.decay, settings.floor)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.model.parameters(), lr=self.settings.base_lr, fused=True)

    def on_train_batch_start(self, batch: TrainingBatch, batch_idx: int) -> None:
        # Rate and dropout depend on the step alone, so a resumed fit repeats them without any saved state.
        torch.manual_seed(self.settings.seed * STEP_SEED + self.global_step)
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = self.rate(self.global_step)

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        loss: Tensor = self.model.loss(batch)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingError(
                f"the loss became {value} at step {self.global_step} (epoch {self.current_epoch})",
                remedy="lower base_lr, or look for extreme values in the features of the training set",
            )
        self.log_rows.append((self.global_step, self.current_epoch, self.rate(self.global_step), value))
        return loss

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["training_log"] = torch.tensor(self.log_rows, dtype=torch.float64).reshape(-1, 4)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.log_rows = [(int(s), int(e), r, v) for s, e, r, v in checkpoint["training_log"].tolist()]
        self.resumed_from_epoch = self.log_rows[-1][1] + 1
