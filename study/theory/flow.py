"""Gradient flow of one mode, right-hand sides and fixed points (theory, section 2).

u is the common singular value of every layer for the mode, w = u^L the encoder's gain, t the true gradient-flow time
(for gradient descent: learning rate x updates). The paper's clock runs L times faster.
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Objective = Literal["jepa", "mae"]


def check(objective: str, lam: ArrayLike = 1.0, rho: ArrayLike = 1.0, depth: ArrayLike = 1, eps: ArrayLike = 1.0) -> None:
    """Refuse what no mode can have.

    Raises:
        ValueError: unknown objective, or lam, rho, eps not positive and finite, or depth not a whole number >= 1.
    """
    if objective not in ("jepa", "mae"):
        raise ValueError(f"objective must be jepa or mae, found {objective!r}")
    for name, value in (("lam", lam), ("rho", rho), ("eps", eps)):
        array = np.asarray(value, dtype=float)
        if not (np.isfinite(array) & (array > 0)).all():
            raise ValueError(f"{name} must be positive and finite, found {array.min():g}")
    depths = np.asarray(depth)
    if not ((depths >= 1) & (depths == np.floor(depths))).all():
        raise ValueError(f"depth must be a whole number of at least 1, found {depths.min():g}")


def rate(objective: Objective, u: ArrayLike, lam: ArrayLike, rho: ArrayLike, depth: ArrayLike) -> NDArray:
    """du/dt: lam u^{2L} (1 - u / rho) for JEPA, lam u^L (1 - u^{L+1} / rho) for MAE."""
    check(objective, lam, rho, depth)
    u, lam, rho, L = (np.asarray(v, dtype=float) for v in (u, lam, rho, depth))
    if objective == "jepa":
        return lam * u ** (2 * L) * (1 - u / rho)
    return lam * u**L * (1 - u ** (L + 1) / rho)


def gain_rate(objective: Objective, w: ArrayLike, lam: ArrayLike, rho: ArrayLike, depth: ArrayLike) -> NDArray:
    """dw/dt: L lam (w^{3-1/L} - w^3 / rho) for JEPA, L lam (w^{2-1/L} - w^3 / rho) for MAE."""
    check(objective, lam, rho, depth)
    w, lam, rho, L = (np.asarray(v, dtype=float) for v in (w, lam, rho, depth))
    power = 3 - 1 / L if objective == "jepa" else 2 - 1 / L
    return L * lam * (w**power - w**3 / rho)


def fixed_point(objective: Objective, rho: ArrayLike, depth: ArrayLike) -> NDArray:
    """The gain w that training ends at: rho^L for JEPA, rho^{L/(L+1)} for MAE."""
    check(objective, rho=rho, depth=depth)
    rho, L = np.asarray(rho, dtype=float), np.asarray(depth, dtype=float)
    return rho ** (L if objective == "jepa" else L / (L + 1))
