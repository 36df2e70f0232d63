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


def bootstrap_ratio(
    numerator: npt.NDArray[np.float64],
    denominator: npt.NDArray[np.float64],
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int | Sequence[int] = 0,
) -> tuple[float | None, float | None, float | None]:
    """Ratio of the means of two paired arrays [n], and the percentile bootstrap interval over resampled pairs.

    Drawn as counts of the distinct pairs, as :func:`bootstrap_mean` draws values. Three Nones where the denominator's mean
    is 0 or there is no pair; no interval for a single pair.
    """
    if numerator.shape != denominator.shape:
        raise ValueError("a ratio needs pairs")
    if not (np.isfinite(numerator).all() and np.isfinite(denominator).all()):
        raise ValueError("the bootstrap needs finite values")
    if numerator.size == 0 or not denominator.any():
        return None, None, None
    distinct, counts = np.unique(np.stack([numerator, denominator], 1), axis=0, return_counts=True)
    n = int(numerator.size)
    above, below = counts @ distinct
    ratio = float(above / below)
    if n == 1:
        return ratio, None, None
    generator = np.random.default_rng(seed)
    ratios = np.empty(resamples)
    for draw in range(resamples):
        above, below = generator.multinomial(n, counts / n) @ distinct
        ratios[draw] = above / below if below else np.nan
    tail = (1.0 - level) / 2.0
    low, high = np.nanquantile(ratios, [tail, 1.0 - tail])
    return ratio, float(low), float(high)
