"""The learning rate, a pure function of the step: linear warm-up, then linear or exponential decay."""

from __future__ import annotations

import math
from typing import Literal

Decay = Literal["linear", "exponential"]


def learning_rate(
    step: int,
    total_steps: int,
    base: float = 1e-3,
    warmup_fraction: float = 0.1,
    decay: Decay = "linear",
    floor: float = 0.01,
) -> float:
    """Learning rate of optimiser step ``step`` (0-based) of ``total_steps``.

    Over the first ``ceil(warmup_fraction * total_steps)`` steps it climbs linearly and reaches ``base`` on the
    last of them; from there it falls to ``floor * base`` on the last step, on a line or by a constant factor.

    Raises:
        ValueError: an argument is outside its range.
    """
    if not 0 <= step < total_steps:
        raise ValueError(f"step {step} is outside 0..{total_steps - 1}")
    if not 0 <= warmup_fraction < 1:
        raise ValueError(f"warmup_fraction {warmup_fraction} is outside [0, 1)")
    if not 0 < floor <= 1:
        raise ValueError(f"floor {floor} is outside (0, 1]")
    if decay not in ("linear", "exponential"):
        raise ValueError(f"decay {decay!r} is neither 'linear' nor 'exponential'")
    warmup = math.ceil(warmup_fraction * total_steps)
    if step < warmup:
        return base * (step + 1) / warmup
    peak = max(warmup - 1, 0)  # the step at which the rate is base
    last = total_steps - 1
    progress = (step - peak) / (last - peak) if last > peak else 0.0
    if decay == "linear":
        return base * (1 + (floor - 1) * progress)
    return float(base * floor**progress)
