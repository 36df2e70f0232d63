"""What a model is (ModelSpec) and how it is trained (TrainSettings): plain values, refused when out of bounds."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from data_contracts.errors import ConfigError
from lightning_modules.warmup import Decay

ModelKind = Literal["attention_cf", "transformer"]


@dataclass(frozen=True)
class ModelSpec:
    """Shape of a model; everything that must be known to load its weights."""

    kind: ModelKind = "attention_cf"
    dim: int = 64  # width of an item's vector
    heads: int = 2  # attention heads; dim is a multiple of it
    blocks: int = 2  # transformer only: stacked attention blocks
    dropout: float = 0.2  # probability, training only
    max_length: int = 50  # most recent events that are read
    holders: int = 16  # attention_cf only: most recent holders of a candidate that are asked; 0 asks none
    holder_dim: int = 16  # attention_cf only: width of a customer's vector in the attention over holders

    def __post_init__(self) -> None:
        _check("kind", self.kind, self.kind in ("attention_cf", "transformer"), "attention_cf or transformer")
        _check("dim", self.dim, 2 <= self.dim <= 1024 and self.dim % 2 == 0, "even, 2 to 1024")
        _check("heads", self.heads, self.heads >= 1 and self.dim % self.heads == 0, "a divisor of dim")
        _check("blocks", self.blocks, 1 <= self.blocks <= 24, "1 to 24")
        _check("dropout", self.dropout, 0 <= self.dropout < 1, "at least 0, below 1")
        _check("max_length", self.max_length, 1 <= self.max_length <= 10_000, "1 to 10000")
        _check("holders", self.holders, 0 <= self.holders <= 1024, "0 to 1024")
        _check("holder_dim", self.holder_dim, 1 <= self.holder_dim <= 1024, "1 to 1024")


@dataclass(frozen=True)
class TrainSettings:
    """How a fit goes."""

    epochs: int = 12
    batch_size: int = 128  # purchases (attention_cf) or customers (transformer) per step
    base_lr: float = 1e-3  # Adam's learning rate at the end of the warm-up
    warmup_fraction: float = 0.1  # of all steps
    decay: Decay = "linear"
    floor: float = 0.01  # the last step's rate, as a fraction of base_lr
    recency_half_life_days: float | None = 90.0  # a purchase this old counts half as much as a target; None: all alike
    seed: int = 0
    threads: int = 2  # torch's CPU threads: a different number gives different last bits

    def __post_init__(self) -> None:
        _check("epochs", self.epochs, 1 <= self.epochs <= 10_000, "1 to 10000")
        _check("batch_size", self.batch_size, 1 <= self.batch_size <= 1_000_000, "1 to 1000000")
        _check("base_lr", self.base_lr, 0 < self.base_lr <= 1, "above 0, at most 1")
        _check("warmup_fraction", self.warmup_fraction, 0 <= self.warmup_fraction < 1, "at least 0, below 1")
        _check("decay", self.decay, self.decay in ("linear", "exponential"), "linear or exponential")
        _check("floor", self.floor, 0 < self.floor <= 1, "above 0, at most 1")
        half_life = self.recency_half_life_days
        _check("recency_half_life_days", half_life, half_life is None or half_life > 0, "above 0, or none")
        _check("seed", self.seed, 0 <= self.seed < 2**31, "0 to 2147483647")
        _check("threads", self.threads, 1 <= self.threads <= 1024, "1 to 1024")


def _check(name: str, value: object, fine: bool, range_text: str) -> None:
    if not fine:
        raise ConfigError(f"{name} is {value!r}", remedy=f"set {name} to {range_text}")


def as_json(spec: ModelSpec, settings: TrainSettings) -> dict[str, Any]:
    """Both as plain values, in the order of the fields."""
    return {"spec": asdict(spec), "settings": asdict(settings)}
