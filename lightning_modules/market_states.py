"""The market as it stood on past days: its regime, and how each asset stood in it. Point in time by construction.

A training set may hold a grid of days (weekly, the last one is the cut). A question asked on some day reads the
latest grid day that is not after it, so a model that learns from old purchases sees the market of their time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from data_contracts.errors import TrainingError

BEAR, NEUTRAL, BULL = -1, 0, 1
REGIMES = {"bear": BEAR, "neutral": NEUTRAL, "bull": BULL}


@dataclass(frozen=True)
class MarketStates:
    """T days; ``standing`` is in standard deviations among the assets of the day, 0 where unknown."""

    days: Tensor  # [T] int32, days since 1970-01-01, rising
    regimes: Tensor  # [T] int32, -1 bear, 0 neutral, 1 bull
    standing: Tensor  # [T, N, 2] float32: momentum (a winner is high) and calm (low volatility is high)

    @classmethod
    def unknown(cls, n_items: int) -> MarketStates:
        """No day is known: every regime is neutral."""
        none = torch.zeros(0, dtype=torch.int32)
        return cls(none, none, torch.zeros(0, n_items, 2))

    def check(self, n_items: int, cut_day: int) -> None:
        """Raises TrainingError where the parts do not fit together or look past the cut."""
        days = self.days.numpy()
        problems: list[str] = []
        if self.regimes.shape != self.days.shape or self.standing.shape != (len(days), n_items, 2):
            problems.append(f"{len(days)} days, {len(self.regimes)} regimes, standing {tuple(self.standing.shape)}")
        if len(days) and (days[-1] > cut_day or bool((np.diff(days) <= 0).any())):
            problems.append("days must rise and not pass the cut")
        if not bool(torch.isin(self.regimes, torch.tensor([BEAR, NEUTRAL, BULL])).all()):
            problems.append("a regime is none of -1, 0, 1")
        if not bool(self.standing.isfinite().all()):
            problems.append("standing holds NaN or infinity")
        if problems:
            raise TrainingError("market states do not fit together: " + "; ".join(problems), remedy="rebuild the histories")


class MarketView(nn.Module):
    """Market states on the model's device. Not among its weights: they come with the training set."""

    days: Tensor
    regimes: Tensor
    standing: Tensor

    def __init__(self, states: MarketStates) -> None:
        super().__init__()
        self._supposed: int | None = None
        # One row more, for the time before the first day; and item 0, padding: both say nothing.
        size = states.standing.shape[1]
        standing = torch.zeros(len(states.days) + 1, size + 1, 2)
        standing[1:, 1:] = states.standing
        self.register_buffer("days", states.days.long(), persistent=False)
        self.register_buffer("regimes", torch.cat([torch.zeros(1), states.regimes]).long(), persistent=False)
        self.register_buffer("standing", standing, persistent=False)

    def regime(self, now: Tensor) -> Tensor:
        """[B] days -> [B] regime known on each: -1, 0, 1; or the one that is supposed (:meth:`supposing`)."""
        known = self.regimes[self._row(now)]
        return known if self._supposed is None else torch.full_like(known, self._supposed)

    @contextmanager
    def supposing(self, regime: int) -> Iterator[None]:
        """Within, every day is of this regime, whatever it was; the assets' standing stays that of the day."""
        self._supposed = regime
        try:
            yield
        finally:
            self._supposed = None

    def affinity(self, now: Tensor, items: Tensor | None = None) -> Tensor:
        """How far an item is what the regime of the day favours: (momentum in a bull, calm in a bear), else 0.

        Args:
            now: [B] days since 1970-01-01.
            items: [B, K] items, 0 = padding; None: the whole catalogue, items 1..N.

        Returns:
            [B, K, 2] or [B, N, 2].
        """
        row = self._row(now)
        standing = self.standing[row, 1:] if items is None else self.standing[row[:, None], items]
        regime = self.regime(now)
        favoured = torch.stack([regime == BULL, regime == BEAR], -1)  # [B, 2]
        return standing * favoured[:, None]

    def _row(self, now: Tensor) -> Tensor:
        return torch.searchsorted(self.days, now.contiguous(), right=True)
