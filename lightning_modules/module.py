"""The LightningModule: steps, logging and the optimiser. What is learned lives in the models."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from data_contracts.errors import TrainingError
from lightning_modules.examples import TrainingBatch
from lightning_modules.lean_lightning import L
from lightning_modules.objective import Asks, Negatives, sampled_loss
from lightning_modules.optimiser import Adam
from lightning_modules.ranker import Ranker
from lightning_modules.settings import TrainSettings
from lightning_modules.warmup import learning_rate

# Keeps the random numbers of a step apart from those of the initialisation and of the batch order.
STEP_SEED = 1_000_003
READ_EVERY = 64
"""Steps between two looks at the losses: reading one waits for the device, so a look at each would idle a GPU."""

LogRow = tuple[int, int, float, float]
"""step, epoch, learning rate, loss"""


class RankerModule(L.LightningModule):  # type: ignore[misc]
    """Fits one ranker. ``log_rows`` holds a row for every step, also across a resume; ``read_losses`` brings it up to date."""

    _losses: Tensor

    def __init__(self, model: Ranker, settings: TrainSettings, total_steps: int, negatives: Negatives | None) -> None:
        super().__init__()
        assert isinstance(model, nn.Module)
        self.model = model
        self.settings = settings
        self.total_steps = total_steps
        self.negatives = negatives
        self.log_rows: list[LogRow] = []
        self.validation: list[float] = []  # NDCG@10 after each epoch, where the fit is validated
        self.resumed_from_epoch: int | None = None
        self._unread: list[tuple[int, int]] = []  # step, epoch
        # Their losses, still on the device. One buffer: a small tensor kept from each step would lie between the large
        # ones of two steps, whose memory could then not be joined and used again.
        self.register_buffer("_losses", torch.zeros(READ_EVERY, dtype=torch.float64), persistent=False)

    def rate(self, step: int) -> float:
        """The learning rate of optimiser step ``step``."""
        settings = self.settings
        return learning_rate(step, self.total_steps, settings.base_lr, settings.warmup_fraction, settings.decay, settings.floor)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return Adam(self.model.parameters(), lr=self.settings.base_lr, fused=True)

    def on_train_batch_start(self, batch: TrainingBatch, batch_idx: int) -> None:
        # Rate and dropout depend on the step alone, so a resumed fit repeats them without any saved state.
        torch.manual_seed(self.settings.seed * STEP_SEED + self.global_step)
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = self.rate(self.global_step)

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        if self.negatives is not None and isinstance(self.model, Asks):
            loss = sampled_loss(self.model.questions(batch), self.settings, self.negatives)
        else:
            loss = self.model.loss(batch)
        self._losses[len(self._unread)] = loss.detach()
        self._unread.append((self.global_step, self.current_epoch))
        if len(self._unread) >= READ_EVERY:
            self.read_losses()
        return loss

    def read_losses(self) -> None:
        """Moves the losses of the last steps into ``log_rows``.

        Raises:
            TrainingError: one of them is not finite; names the first such step.
        """
        if not self._unread:
            return
        values = self._losses[: len(self._unread)].tolist()
        for (step, epoch), value in zip(self._unread, values, strict=True):
            if not math.isfinite(value):
                raise TrainingError(
                    f"the loss became {value} at step {step} (epoch {epoch})",
                    remedy="lower base_lr, or look for extreme values in the features of the training set",
                )
            self.log_rows.append((step, epoch, self.rate(step), value))
        self._unread.clear()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.read_losses()
        checkpoint["training_log"] = torch.tensor(self.log_rows, dtype=torch.float64).reshape(-1, 4)
        checkpoint["validation"] = list(self.validation)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.log_rows = [(int(s), int(e), r, v) for s, e, r, v in checkpoint["training_log"].tolist()]
        self.validation = list(checkpoint["validation"])
        self.resumed_from_epoch = self.log_rows[-1][1] + 1
