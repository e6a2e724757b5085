"""Exact times and trajectories of one mode (theory, section 3), for both objectives and both sides of the fixed point.

One substitution covers all four cases. With s = u / rho and a = 1 - 2L (JEPA), or s = u^{L+1} / rho and
a = (1 - L) / (1 + L) (MAE), the fixed point is s = 1 and

    lam t = C * integral from s0 to s of x^{a-1} / (1 - x) dx,   C = rho^{1-2L} (JEPA) or rho^a / (L + 1) (MAE).

Above the fixed point (s0 > s > 1), y = 1 / x turns it into the same integral with 1 - a, from 1/s0 to 1/s. The sums and
2F1 of theory section 3 are this integral written out; here every term is positive, so no digits cancel.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import CubicHermiteSpline
from scipy.special import exprel

from study.theory.flow import Objective, check, fixed_point, rate

SPLIT = 0.7  # below: a power series that converges like SPLIT^k; above: logarithm plus a smooth remainder
TERMS = 115  # SPLIT^115 < 2e-18
NODES, WEIGHTS = np.polynomial.legendre.leggauss(32)


def _integral(a: NDArray, s0: NDArray, s: NDArray) -> NDArray:
    """Integral of x^{a-1} / (1 - x) over [s0, s], 0 < s0 <= s <= 1; infinite at s = 1."""
    low0, low = np.minimum(s0, SPLIT), np.minimum(s, SPLIT)
    span = np.log1p((low - low0) / low0)[..., None]
    power = a[..., None] + np.arange(TERMS)
    # (s^p - s0^p) / p, written so that it neither cancels nor overflows for any sign of p, zero included.
    larger = np.where(power > 0, low[..., None], low0[..., None]) ** power
    series = (larger * span * exprel(-np.abs(power) * span)).sum(-1)
    high0, high = np.maximum(s0, SPLIT), np.maximum(s, SPLIT)
    with np.errstate(divide="ignore"):
        logarithm = np.log1p((high - high0) / (1 - high))
    half = (high - high0)[..., None] / 2
    x = high0[..., None] + half * (1 + NODES)
    remainder = (half * WEIGHTS * np.expm1((a[..., None] - 1) * np.log(x)) / (1 - x)).sum(-1)
    return series + logarithm + remainder


def time(objective: Objective, u0: ArrayLike, u: ArrayLike, lam: ArrayLike, rho: ArrayLike, depth: ArrayLike) -> NDArray:
    """Gradient-flow time in which a mode goes from u0 to u (theory, section 3); arrays broadcast.

    Infinite where u is never reached: on the other side of the fixed point, at it, or behind u0.

    Raises:
        ValueError: a value that is not positive, or a depth below 1.
    """
    check(objective, lam, rho, depth)
    check(objective, u0, u)
    u0, u, lam, rho, L = np.broadcast_arrays(*(np.asarray(v, dtype=float) for v in (u0, u, lam, rho, depth)))
    if objective == "jepa":
        a, s0, s, constant = 1 - 2 * L, u0 / rho, u / rho, rho ** (1 - 2 * L)
    else:
        a = (1 - L) / (1 + L)
        s0, s, constant = u0 ** (L + 1) / rho, u ** (L + 1) / rho, rho**a / (L + 1)
    above = s0 > 1
    reached = np.where(above, (s <= s0) & (s > 1), (s >= s0) & (s < 1)) | (u == u0)
    a, s0, s = np.where(above, 1 - a, a), np.where(above, 1 / s0, s0), np.where(above, 1 / s, s)
    s = np.where(reached, s, s0)  # a harmless value where the answer is infinity anyway
    s0, s = np.minimum(s0, 1 - 2.0**-53), np.minimum(s, 1 - 2.0**-53)
    return np.where(reached, constant * _integral(a, s0, s) / lam, np.inf)


def critical_time(
    objective: Objective, lam: ArrayLike, rho: ArrayLike, depth: ArrayLike, eps: ArrayLike, fraction: ArrayLike = 0.5
) -> NDArray:
    """First time the gain w reaches `fraction` (relative threshold) of its fixed point, from w(0) = eps.

    Infinite where it is not crossed on the way, for instance when eps already lies beyond it.
    """
    check(objective, lam, rho, depth, eps)
    check(objective, fraction)
    L = np.asarray(depth, dtype=float)
    target = np.asarray(fraction, dtype=float) * fixed_point(objective, rho, depth)
    return time(objective, np.asarray(eps, dtype=float) ** (1 / L), target ** (1 / L), lam, rho, depth)


def trajectory(objective: Objective, t: ArrayLike, lam: ArrayLike, rho: ArrayLike, depth: ArrayLike, eps: ArrayLike) -> NDArray:
    """Gain w(t) from w(0) = eps; arrays broadcast. Relative accuracy about 1e-8.

    The exact time of each distinct mode is tabulated densely over log u, with the exact derivative du/dt, and inverted by
    cubic Hermite interpolation.

    Raises:
        ValueError: a negative time, or values no mode can have.
    """
    check(objective, lam, rho, depth, eps)
    t, lam, rho, L, eps = np.broadcast_arrays(*(np.asarray(v, dtype=float) for v in (t, lam, rho, depth, eps)))
    if not (np.isfinite(t) & (t >= 0)).all():
        raise ValueError(f"times must be finite and not negative, found {t.min():g}")
    modes, member = np.unique(np.stack([v.ravel() for v in (lam, rho, L, eps)]), axis=1, return_inverse=True)
    lam_, rho_, L_, eps_ = modes[..., None]
    start, end = np.log(eps_) / L_, np.log(fixed_point(objective, rho_, L_)) / L_
    # Even in log u at first, then geometric towards the fixed point, which is approached exponentially in time.
    share = np.concatenate([np.linspace(0, 0.9, 1000, endpoint=False), 1 - np.geomspace(0.1, 1e-13, 1000)])
    y = start + share * (end - start)
    clock = time(objective, np.exp(start), np.exp(y), lam_, rho_, L_)
    slope = rate(objective, np.exp(y), lam_, rho_, L_) / np.exp(y)
    w = np.empty(t.size)
    for mode in range(modes.shape[1]):
        mine = member.ravel() == mode
        rising = np.concatenate([[True], np.diff(np.maximum.accumulate(clock[mode])) > 0]) & np.isfinite(clock[mode])
        if rising.sum() < 2:  # starts at its fixed point
            w[mine] = eps_[mode]
            continue
        spline = CubicHermiteSpline(clock[mode][rising], y[mode][rising], slope[mode][rising])
        w[mine] = np.exp(L_[mode] * spline(np.minimum(t.ravel()[mine], clock[mode][rising][-1])))
    return w.reshape(t.shape)
