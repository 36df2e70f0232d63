"""How models are fitted and scored."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from flows.sections.section import Days, Section, Share
from lightning_modules.settings import Loss, ModelKind


class TrainConfig(Section):
    """How models are fitted. Adam, linear warm-up, then decay, as a pure function of the step."""

    models: tuple[ModelKind, ...] = ("attention_cf", "transformer")
    epochs: int = Field(12, ge=1, le=1000)
    batch_size: int = Field(
        128, ge=1, le=65536, description="Purchases (attention_cf, bpr_mf) or customers (transformer, gru4rec) a step."
    )
    learning_rate: float = Field(1e-3, gt=0, le=1)
    warmup_fraction: float = Field(0.1, ge=0, lt=1)
    decay: Literal["linear", "exponential"] = "linear"
    recency_half_life_days: float | None = Field(
        90.0, gt=0, description="A purchase this old counts half as much as a target; unset: all count alike."
    )

    loss: Loss = Field(
        "softmax", description="Of models that score by inner product (transformer, gru4rec); the others have their own."
    )
    negatives: int = Field(256, ge=1, le=100_000, description="Items drawn a batch, for losses other than the full softmax.")
    negatives_power: float = Field(
        0.0, ge=0, le=2, description="A negative is drawn in proportion to (1 + buyers) to this power: 0 all alike."
    )
    gbce_calibration: Share = Field(0.75, description="gbce only: 0 is plain binary cross-entropy, 1 undoes the sampling.")
    validation_days: Days | None = Field(
        None,
        description="Last days before the cut that choose how many epochs to train; unset: train.epochs, no early stopping.",
    )
    patience: int = Field(
        3, ge=1, le=1000, description="Epochs without a better NDCG@10 on the validation days that end the search."
    )

    @field_validator("models")
    @classmethod
    def _distinct(cls, models: tuple[ModelKind, ...]) -> tuple[ModelKind, ...]:
        if not models or len(set(models)) != len(models):
            raise ValueError("train.models must name each model once, and at least one")
        return models


class EvaluateConfig(Section):
    """Global time split: train on what is dated up to as_of - horizon_days, score what follows, up to as_of."""

    horizon_days: int = Field(120, ge=1, le=3650)
    k: int = Field(10, ge=1, le=100)
