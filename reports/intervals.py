"""Bootstrap intervals of a mean, exact in distribution and cheap for a million customers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def bootstrap_mean(
    values: npt.NDArray[np.float64],
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int | Sequence[int] = 0,
) -> tuple[float | None, float | None, float | None]:
    """Mean of ``values`` [n] and the percentile bootstrap interval over resampled elements.

    Metrics take few distinct values (one relevant item: eleven), so a resample is drawn as counts of the
    distinct values, one multinomial draw: the same distribution as drawing n elements with replacement,
    without n draws. The order of ``values`` does not matter. An empty array gives three Nones; a single element no interval.
    Source: Efron & Tibshirani, An Introduction to the Bootstrap (1993), section 13.3.
    """
    if values.size == 0:
        return None, None, None
    if not np.isfinite(values).all():
        raise ValueError("the bootstrap needs finite values")
    distinct, counts = np.unique(values, return_counts=True)
    n = int(values.size)
    mean = float(distinct @ counts / n)
    if n == 1:
        return mean, None, None
    draws = np.random.default_rng(seed).multinomial(n, counts / n, size=resamples)  # [resamples, distinct]
    means = draws @ distinct / n
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail])
    return mean, float(low), float(high)
