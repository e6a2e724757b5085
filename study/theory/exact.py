"""Exact times and trajectories of one mode (theory, section 3), for both objectives and both sides of the fixed point.

One substitution covers all four cases. With s = u / rho and a = 1 - 2L (JEPA), or s = u^{L+1} / rho and
a = (1 - L) / (1 + L) (MAE), the fixed point is s = 1 and

    lam t = C * integral from s0 to s of x^{a-1} / (1 - x) dx,   C = rho^{1-2L} (JEPA) or rho^a / (L + 1) (MAE).

Above the fixed point (s0 > s > 1), y = 1 / x turns it into the same integral with 1 - a, from 1/s0 to 1/s. The sums and
2F1 of theory section 3 are this integral written out; here every term is positive but for one correction that costs less
than a digit (`_rest`), and spans come from u and u0 themselves, so no digits cancel.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import exprel

from study.theory.flow import Objective, check, fixed_point, rate

CUT = 0.36  # of -log x. Beyond it: a power series in x that converges like e^{-CUT k}; before it: a logarithm and the rest
TERMS = 100  # e^{-100 CUT} < 3e-16
NODES, WEIGHTS = (np.polynomial.legendre.leggauss(14) + np.array([[1.0], [0.0]])) / 2  # on [0, 1]
BLOCK = 8192  # times computed at once, so that temporaries stay in the processor's cache


def _horner(coefficients: Iterable[NDArray], x0: NDArray, x: NDArray) -> tuple[NDArray, NDArray]:
    """P(x0) and (P(x) - P(x0)) / (x - x0) of the polynomial P with these coefficients, highest power first."""
    value = slope = np.zeros_like(x)
    for coefficient in coefficients:
        slope = slope * x + value
        value = value * x0 + coefficient
    return value, slope


def _series(c: NDArray, v: NDArray, span: NDArray) -> NDArray:
    """Integral of e^{-cz} / (1 - e^{-z}) over z from v to v + span: the sum of (x^p - x0^p) / p over p = c, c + 1, ..."""
    x0, x = np.exp(-v - span), np.exp(-v)
    value, slope = _horner((1 / (c + k) for k in range(TERMS, -1, -1)), x0, x)
    return -np.exp(-c * v) * (np.expm1(-c * span) * value + np.expm1(-span) * x * slope)


def _rest(c: NDArray, v: NDArray, span: NDArray) -> NDArray:
    """The same integral less that of c / (e^{cz} - 1), which has the same pole and a logarithm as its integral.

    Negative where c > 1, but before CUT the logarithm is at most 0.3 c times the whole.
    """
    total = np.zeros_like(v)
    for node, weight in zip(NODES, WEIGHTS, strict=True):
        z = v + node * span
        total += weight * np.exp(-c * z) * (c / np.expm1(-c * z) - 1 / np.expm1(-z))
    return total * span


def _integral(a: NDArray, v: NDArray, span: NDArray) -> NDArray:
    """Integral of x^{a-1} / (1 - x) over -log x from v > 0 to v + span; where a <= -1 it has to be whole, as JEPA's is.

    It is the sum of (x^p - x0^p) / p over p = a, a + 1, ...: here over whole p < 0, then p = b, then p >= c = b + 1.
    """
    below = np.trunc(np.maximum(-a, 0))
    b = a + below
    c = b + 1
    y, y0 = np.exp(v), np.exp(v + span)
    value, slope = _horner(((m <= below) / m for m in range(int(below.max()), 0, -1)), y, y0)
    total = y * np.expm1(span) * (value + y0 * slope)
    # Written so that it neither cancels nor overflows for any sign of b, zero included.
    total += np.exp(np.maximum(-b * v, -b * (v + span))) * span * exprel(-np.abs(b) * span)
    closed = c == 1  # the logarithm is all: JEPA below its fixed point
    near = np.clip(np.where(closed, np.inf, CUT) - v, 0, span)
    total += np.log1p(np.expm1(-c * near) * np.exp(-c * v) / np.expm1(-c * v))
    high, low = (near > 0) & ~closed, near < span
    total[high] += _rest(c[high], v[high], near[high])
    total[low] += _series(c[low], (v + near)[low], (span - near)[low])
    return total


def _time(objective: Objective, u0: NDArray, u: NDArray, lam: NDArray, rho: NDArray, L: NDArray) -> NDArray:
    if objective == "jepa":
        power, a, constant = np.ones_like(L), 1 - 2 * L, rho ** (1 - 2 * L)
    else:
        power, a = L + 1, (1 - L) / (1 + L)
        constant = rho**a / power
    s0, s = u0**power / rho, u**power / rho
    above = s0 > 1
    reached = np.where(above, (s <= s0) & (s > 1), (s >= s0) & (s < 1)) | (u == u0)
    s = np.where(reached, np.where(above, 1 / s, s), 0.5)  # a harmless value where the answer is infinity anyway
    span = np.where(reached, power * np.abs(np.log1p((u - u0) / u0)), 0)
    value = _integral(np.where(above, 1 - a, a), -np.log(np.minimum(s, 1 - 2.0**-53)), span)
    return np.where(reached, constant * value / lam, np.inf)


def time(objective: Objective, u0: ArrayLike, u: ArrayLike, lam: ArrayLike, rho: ArrayLike, depth: ArrayLike) -> NDArray:
    """Gradient-flow time in which a mode goes from u0 to u (theory, section 3); arrays broadcast.

    Infinite where u is never reached: on the other side of the fixed point, at it, or behind u0.

    Raises:
        ValueError: a value that is not positive, or a depth below 1.
    """
    check(objective, lam, rho, depth)
    check(objective, u0, u)
    values = np.broadcast_arrays(*(np.asarray(v, dtype=float) for v in (u0, u, lam, rho, depth)))
    flat = [v.ravel() for v in values]
    result = np.empty(flat[0].size)
    for start in range(0, result.size, BLOCK):
        result[start : start + BLOCK] = _time(objective, *(v[start : start + BLOCK] for v in flat))
    return result.reshape(values[0].shape)


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
    from scipy.interpolate import CubicHermiteSpline  # takes longer to import than many times take to compute

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
        latest = np.maximum.accumulate(clock[mode])
        rising = np.concatenate([[True], latest[1:] > latest[:-1]]) & np.isfinite(latest)
        if rising.sum() < 2:  # starts at its fixed point
            w[mine] = eps_[mode]
            continue
        spline = CubicHermiteSpline(clock[mode][rising], y[mode][rising], slope[mode][rising])
        w[mine] = np.exp(L_[mode] * spline(np.minimum(t.ravel()[mine], clock[mode][rising][-1])))
    return w.reshape(t.shape)
