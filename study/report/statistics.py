"""Means and intervals over seeds."""

import numpy as np
from numpy.typing import NDArray
from scipy import stats


def interval(values: NDArray) -> tuple[float, float, float]:
    """Mean and two-sided 95 % Student interval; unbounded for a single value, nan for none."""
    n = len(values)
    mean = float(np.mean(values)) if n else float("nan")
    if n < 2:
        return mean, float("-inf"), float("inf")
    half = float(stats.t.ppf(0.975, n - 1) * np.std(values, ddof=1) / np.sqrt(n))
    return mean, mean - half, mean + half


def spread(values: NDArray, digits: int) -> str:
    """Mean and half the interval, as text."""
    mean, low, _ = interval(values)
    return f"{mean:.{digits}f}" if not np.isfinite(low) else f"{mean:.{digits}f} ± {mean - low:.{digits}f}"


def binomial(successes: int, trials: int) -> tuple[float, float]:
    """Two-sided 95 % Clopper-Pearson interval of a share."""
    found = stats.binomtest(successes, trials).proportion_ci(0.95, "exact")
    return float(found.low), float(found.high)
