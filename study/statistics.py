"""Means and intervals over seeds."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, stdtrit  # scipy.stats has these, and takes a second to import


def interval(values: NDArray) -> tuple[float, float, float]:
    """Mean and two-sided 95 % Student interval; unbounded for a single value, nan for none."""
    n = len(values)
    mean = float(np.mean(values)) if n else float("nan")
    if n < 2:
        return mean, float("-inf"), float("inf")
    half = float(stdtrit(n - 1, 0.975) * np.std(values, ddof=1) / np.sqrt(n))
    return mean, mean - half, mean + half


def spread(values: NDArray, digits: int) -> str:
    """Mean and half the interval, as text."""
    mean, low, _ = interval(values)
    return f"{mean:.{digits}f}" if not np.isfinite(low) else f"{mean:.{digits}f} ± {mean - low:.{digits}f}"


def binomial(successes: int, trials: int) -> tuple[float, float]:
    """Two-sided 95 % Clopper-Pearson interval of a share."""
    low = betaincinv(successes, trials - successes + 1, 0.025) if successes else 0.0
    high = betaincinv(successes + 1, trials - successes, 0.975) if successes < trials else 1.0
    return float(low), float(high)


def rank_correlation(a: NDArray, b: NDArray) -> NDArray:
    """Spearman's, along the last axis; 0 where one side is constant."""
    from scipy.stats import rankdata

    x, y = (ranks - ranks.mean(-1, keepdims=True) for ranks in (rankdata(v, axis=-1) for v in (a, b)))
    size = np.sqrt((x**2).sum(-1) * (y**2).sum(-1))
    return (x * y).sum(-1) / np.where(size > 0, size, 1)


def resampled(statistic: Callable[..., NDArray], *columns: NDArray, draws: int = 2000) -> tuple[float, float, float]:
    """A statistic along the last axis of columns [n] of the same rows, and its 95 % bootstrap interval (percentiles) over rows."""
    n = len(columns[0])
    rows = np.random.default_rng(0).integers(n, size=(draws, n))
    low, high = np.quantile(statistic(*(column[rows] for column in columns)), [0.025, 0.975])
    return float(statistic(*columns)), float(low), float(high)
