"""Leading-order formulas as eps -> 0 (theory, sections 3 and 4). The exact times are in study.theory.exact."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from study.theory.flow import Objective, check


def critical_time(objective: Objective, lam: ArrayLike, rho: ArrayLike, depth: int, eps: ArrayLike) -> NDArray:
    """Leading terms of the critical time, the same for every relative threshold.

    JEPA: (1/lam) sum_{n=1}^{2L-1} 1 / (n rho^{2L-n-1} eps^{n/L}) + Theta(log eps).
    MAE, L >= 2: (1/lam) 1 / ((L-1) eps^{(L-1)/L}) + Theta(1); independent of rho.

    Raises:
        ValueError: MAE at depth 1, where the time is logarithmic and has no such leading term.
    """
    check(objective, lam, rho, depth, eps)
    lam, rho, eps = (np.asarray(v, dtype=float) for v in (lam, rho, eps))
    if objective == "jepa":
        n = np.arange(1, 2 * depth)
        return (1 / (n * rho[..., None] ** (2 * depth - n - 1) * eps[..., None] ** (n / depth))).sum(-1) / lam
    if depth < 2:
        raise ValueError("the leading-order MAE time needs depth >= 2; at depth 1 use study.theory.exact")
    return np.broadcast_to(
        1 / ((depth - 1) * eps ** ((depth - 1) / depth)) / lam, np.broadcast_shapes(lam.shape, rho.shape, eps.shape)
    )


def slowdown(objective: Objective, rho_low: ArrayLike, rho_high: ArrayLike, depth: int, eps: ArrayLike) -> NDArray:
    """t*(rho_low) / t*(rho_high) at equal lambda: 1 + (2L-1)/(2L-2) (1/rho_low - 1/rho_high) eps^{1/L} + O(eps^{2/L})
    for JEPA, 1 + o(1) for MAE (theory, section 4); L >= 2."""
    check(objective, rho_low, rho_high, depth, eps)
    if depth < 2:
        raise ValueError("the leading-order slowdown needs depth >= 2; at depth 1 use study.theory.exact")
    low, high, eps = (np.asarray(v, dtype=float) for v in (rho_low, rho_high, eps))
    if objective == "mae":
        return np.ones(np.broadcast_shapes(low.shape, high.shape, eps.shape))
    return 1 + (2 * depth - 1) / (2 * depth - 2) * (1 / low - 1 / high) * eps ** (1 / depth)
