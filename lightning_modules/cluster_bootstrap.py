"""Bootstrap intervals of a mean over pairs that come in clusters: the recommendations of one customer are no independent draws.

Customers are drawn with all their pairs. Source: Davison and Hinkley 1997, Bootstrap Methods and their Application, 3.8.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
DRAWS = 2000


class ClusterBootstrap:
    """The same draws of customers for any number of values.

    Args:
        cluster: [P] int, whose pair each is.
        generator: draws the customers.
    """

    def __init__(self, cluster: npt.NDArray[np.int64], generator: np.random.Generator) -> None:
        names, self._member = np.unique(cluster, return_inverse=True)
        self._size = len(names)
        even = np.full(self._size, 1 / max(self._size, 1))
        self._counts = generator.multinomial(self._size, even, DRAWS).astype(np.float64) if self._size else np.zeros((DRAWS, 0))

    def interval(self, values: Floats) -> tuple[float | None, float | None]:
        """The 95 % interval of the mean of ``values`` [P], NaN left out; None where fewer than two customers have any."""
        known = np.isfinite(values)
        sums = np.bincount(self._member[known], values[known], minlength=self._size)
        sizes = np.bincount(self._member[known], minlength=self._size)
        if (sizes > 0).sum() < 2:
            return None, None
        pairs = self._counts @ sizes
        means = (self._counts @ sums)[pairs > 0] / pairs[pairs > 0]
        low, high = np.quantile(means, [0.025, 0.975])
        return float(low), float(high)

    def customers(self, values: Floats) -> int:
        """How many customers have a known value."""
        return len(np.unique(self._member[np.isfinite(values)]))


def erasure_verdict(
    attended: Floats, random: Floats, cluster: npt.NDArray[np.int64], generator: np.random.Generator
) -> dict[str, Any]:
    """Whether erasing what an explanation names first costs more than erasing another: the verdict over P paired drops [P].

    Returns:
        n_pairs, n_customers, mean_drop_attended, mean_drop_random (in nats), mean_difference, ci_low, ci_high (95 % bootstrap
        over customers), share_attended_larger, better_than_random (ci_low > 0).
    """
    verdict: dict[str, Any] = {"n_pairs": len(attended), "n_customers": len(np.unique(cluster))}
    if len(attended) == 0:
        empty = ("mean_drop_attended", "mean_drop_random", "mean_difference", "ci_low", "ci_high")
        return {**verdict, **dict.fromkeys(empty), "share_attended_larger": None, "better_than_random": False}
    difference = attended - random
    low, high = ClusterBootstrap(cluster, generator).interval(difference)
    return {
        **verdict,
        "mean_drop_attended": float(attended.mean()),
        "mean_drop_random": float(random.mean()),
        "mean_difference": float(difference.mean()),
        "ci_low": low,
        "ci_high": high,
        "share_attended_larger": float((difference > 0).mean()),
        "better_than_random": low is not None and low > 0,
    }
