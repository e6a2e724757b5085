"""F. JEPA with a slow teacher, counted in the teacher's turnovers (theory, section 6 F; docs/theory.md has the steps).

A turnover is one sum of (1 - momentum) over updates, or tau t in gradient-flow time: what a teacher held that many turnovers ago
weighs 1 / e. A slow teacher's student is always done with its present teacher, so that v u^L = rho u'^L, with u, v, u' the singular
values of the student's layers, of its head, and of the teacher's layers, for one mode. All functions of turnovers take arrays that
broadcast, and `start` is the teacher's u'(0). Covariance lam appears in `lag` alone.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

from study.theory.flow import check


def turnovers(first: float, last: float, over: int, updates: int) -> float:
    """Sum of 1 - momentum over `updates` updates, where momentum goes linearly from `first` to `last` in `over` of them and stays."""
    rising = min(updates, over)
    return updates * (1 - first) - (last - first) * (rising * (rising - 1) / 2 / over + updates - rising)


def root(turnovers: ArrayLike, rho: ArrayLike, depth: ArrayLike, start: ArrayLike) -> NDArray:
    """z = u'^{1/(L+1)}, which goes to r = rho^{1/(L+1)} like e^{-n/(L+1)} in n turnovers (6.11), when the head is balanced (v = u)."""
    check("jepa", rho=rho, eps=start, depth=depth)
    n, rho, L, start = (np.asarray(v, dtype=float) for v in (turnovers, rho, depth, start))
    r = rho ** (1 / (L + 1))
    return r - (r - start ** (1 / (L + 1))) * np.exp(-n / (L + 1))


def gain(turnovers: ArrayLike, rho: ArrayLike, depth: ArrayLike, start: ArrayLike) -> NDArray:
    """Gain w = u^L of the student's encoder: MAE's, rho^{L/(L+1)}, times z^{L^2} (6.12)."""
    L = np.asarray(depth, dtype=float)
    return np.asarray(rho, dtype=float) ** (L / (L + 1)) * root(turnovers, rho, depth, start) ** (L**2)


def exponent(turnovers: ArrayLike, rho: ArrayLike, depth: ArrayLike, start: ArrayLike) -> NDArray:
    """d ln w / d ln rho at one `start` for all features (6.13): from MAE's L / (L + 1) at once to JEPA's L in the end."""
    n, L = np.asarray(turnovers, dtype=float), np.asarray(depth, dtype=float)
    replaced = np.asarray(rho, dtype=float) ** (1 / (L + 1)) * -np.expm1(-n / (L + 1))
    return L / (L + 1) * (1 + L * replaced / root(n, rho, depth, start))


def share(ratio: ArrayLike, variances: ArrayLike) -> NDArray:
    """Share of feature variance of what has `variances` times the input variance of the rest and `ratio` times its gain."""
    odds = np.asarray(variances, dtype=float) * np.asarray(ratio, dtype=float) ** 2
    return odds / (1 + odds)


def turnovers_until(
    ratio: ArrayLike, rho: tuple[ArrayLike, ArrayLike], depth: ArrayLike, start: tuple[ArrayLike, ArrayLike]
) -> NDArray:
    """Turnovers after which the gain of the first of two features has fallen to `ratio` times that of the second (6.14).

    Zero where it is there after the student's first approach, infinite where it never is: ratio <= (rho_a / rho_b)^L.

    Raises:
        ValueError: the first feature has not the lower rho, or a value that no mode can have.
    """
    check("jepa", rho=rho[0], eps=start[0], depth=depth, lam=ratio)
    check("jepa", rho=rho[1], eps=start[1])
    L = np.asarray(depth, dtype=float)
    r_a, r_b, z_a, z_b = (np.asarray(v, dtype=float) ** (1 / (L + 1)) for v in (*rho, *start))
    if (r_a >= r_b).any():
        raise ValueError(f"the first feature must have the lower rho, found {rho[0]} and {rho[1]}")
    asked = (np.asarray(ratio, dtype=float) * (r_b / r_a) ** L) ** (1 / L**2)  # of z_a / z_b
    at_start, in_the_end = z_a - asked * z_b, r_a - asked * r_b
    left = np.where((at_start > 0) & (in_the_end < 0), in_the_end / (in_the_end - at_start), np.where(at_start > 0, 0.0, 1.0))
    with np.errstate(divide="ignore"):
        return np.abs((L + 1) * np.log(left))


def lag(turnovers: ArrayLike, lam: ArrayLike, rho: ArrayLike, depth: ArrayLike, start: ArrayLike, tau: ArrayLike) -> NDArray:
    """First correction of a teacher that is not that slow: relative distance by which the student's u stays behind what its present
    teacher asks for, (rho u'^L)^{1/(L+1)}, up to tau^2 (6.16). Negative where the feature shrinks."""
    check("jepa", lam, rho, depth, tau)
    L, rho = np.asarray(depth, dtype=float), np.asarray(rho, dtype=float)
    r, z = rho ** (1 / (L + 1)), root(turnovers, rho, depth, start)
    rate = (L + 1) * np.asarray(lam, dtype=float) * (r * z**L) ** (2 * L) / rho
    return np.asarray(tau, dtype=float) / rate * L / (L + 1) * (r / z - 1)


def imitation(target: NDArray, depth: int) -> NDArray:
    """Gains |Wbar e_i| [d] of a balanced student that has learned V Wbar = target [m, d], where target = Wbar' Syx Sxx^{-1} is what
    a teacher of any matrix Wbar' asks for: Wbar^T Wbar = (target^T target)^{L/(L+1)} (6.18)."""
    check("jepa", depth=depth)
    _, singular, right = np.linalg.svd(target)
    return np.sqrt((right[: len(singular)] ** 2 * singular[:, None] ** (2 * depth / (depth + 1))).sum(0))


def gain_with_predictor(turnovers: ArrayLike, rho: float, depth: int, start: float, kappa: float) -> NDArray:
    """Gain of a student whose head learns kappa times as fast, all of u, v, u' being `start` at first; turnovers [n] -> [n] (6.17).

    u^2 - v^2 / kappa stays what it was, c. With q = (v / rho)^{1/L}, the teacher is u' = u q and

        du/dn = u (1 - q) / (q (1 + kappa u^2 / (L v^2))),      v^2 = kappa (u^2 - c).

    Raises:
        ValueError: turnovers that fall or are negative, or values no mode can have.
    """
    check("jepa", rho=rho, eps=start, depth=depth, lam=kappa)
    n = np.atleast_1d(np.asarray(turnovers, dtype=float))
    if (np.diff(n, prepend=0) < 0).any():
        raise ValueError("turnovers must rise from 0 on")
    c = start**2 * (1 - 1 / kappa)
    if c + rho**2 / kappa <= 0:
        raise ValueError(
            f"the feature collapses: rho^2 + kappa start^2 must exceed start^2, found {rho:g}, {kappa:g}, {start:g}"
        )

    def head(u: float) -> float:
        return np.sqrt(kappa * max(u**2 - c, 0.0))

    def velocity(_: float, u: NDArray) -> NDArray:
        v = head(u[0])
        q = (v / rho) ** (1 / depth)
        return u * (1 - q) * v**2 / (q * (v**2 + kappa * u**2 / depth))

    wanted, lowest, highest = rho * start**depth, np.sqrt(max(c, 0.0)), np.sqrt(start**2 + rho**2 / kappa)
    u0 = brentq(lambda u: head(u) * u**depth - wanted, lowest, highest, xtol=1e-15, rtol=1e-14)
    solved = solve_ivp(velocity, (0, max(n[-1], 1e-12)), [u0], "LSODA", t_eval=n, rtol=1e-10, atol=1e-13)
    assert solved.success, solved.message
    return solved.y[0] ** depth
