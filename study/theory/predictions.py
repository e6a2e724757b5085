"""Predictions beyond the paper (theory, section 6), derived mode by mode; docs/theory.md has the steps.

A balanced mode has singular values u (every layer), v (head) and u' (every layer of a teacher), and with kappa the
learning rate of the head over that of the encoder, eta the weight decay and tau the rate of the teacher

    JEPA   du/dt = lam v u^{2L-1} (1 - v/rho) - eta u,          dv/dt = kappa (lam u^{2L} (1 - v/rho) - eta v)
    MAE    du/dt = lam u^{L-1} v (1 - v u^L/rho) - eta u,       dv/dt = kappa (lam u^L (1 - v u^L/rho) - eta v)
    EMA    du/dt = lam u^L (u'^L - u^{L+1}/rho),                du'/dt = tau (u - u')          (kappa = 1, eta = 0, v = u)
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

from study.theory.flow import Objective, check, fixed_point, rate


def final_encoder(rho: ArrayLike, u0: ArrayLike, v0: ArrayLike, kappa: ArrayLike) -> NDArray:
    """A. Final singular value u of every layer of a JEPA whose head learns kappa times as fast: u^2 - v^2 / kappa is
    conserved (u du = v dv / kappa), and v ends at rho. Zero where the feature collapses: v0^2 > rho^2 + kappa u0^2."""
    check("jepa", rho=rho, lam=kappa)
    rho, u0, v0, kappa = (np.asarray(v, dtype=float) for v in (rho, u0, v0, kappa))
    return np.sqrt(np.maximum(u0**2 + (rho**2 - v0**2) / kappa, 0.0))


def largest_decay(objective: Objective, lam: ArrayLike, rho: ArrayLike, depth: ArrayLike) -> NDArray:
    """B. The weight decay eta above which a feature cannot be kept: the maximum over u of (du/dt)/u without decay.

    JEPA: lam rho^{2L-1} c_L with c_L = ((2L-1)/(2L))^{2L-1} / (2L), reached at u = rho (2L-1)/(2L).
    MAE: lam (rho (L-1)/(2L))^{(L-1)/(L+1)} (L+1)/(2L), reached at u^{L+1} = rho (L-1)/(2L); at L = 1 it is lam.
    """
    check(objective, lam, rho, depth)
    lam, rho, L = (np.asarray(v, dtype=float) for v in (lam, rho, depth))
    if objective == "jepa":
        return lam * rho ** (2 * L - 1) * ((2 * L - 1) / (2 * L)) ** (2 * L - 1) / (2 * L)
    return lam * (rho * (L - 1) / (2 * L)) ** ((L - 1) / (L + 1)) * (L + 1) / (2 * L)


def decayed_gain(objective: Objective, lam: float, rho: float, depth: int, weight_decay: float) -> float:
    """B. The gain w = u^L that a feature keeps under weight decay eta: the larger root of (du/dt)/u = eta, 0 above the
    largest decay."""
    if weight_decay >= largest_decay(objective, lam, rho, depth):
        return 0.0
    L = depth
    if weight_decay == 0:
        return float(fixed_point(objective, rho, L))
    peak = rho * (2 * L - 1) / (2 * L) if objective == "jepa" else (rho * (L - 1) / (2 * L)) ** (1 / (L + 1))
    end = rho if objective == "jepa" else rho ** (1 / (L + 1))
    low = peak if peak > 0 else end * 1e-9  # MAE at depth 1 falls from its maximum at u = 0
    return brentq(lambda u: float(rate(objective, u, lam, rho, L)) / u - weight_decay, low, end, xtol=1e-15) ** L


def ema_rates(
    u: NDArray, teacher: NDArray, lam: ArrayLike, rho: ArrayLike, depth: int, tau: ArrayLike
) -> tuple[NDArray, NDArray]:
    """C. (du/dt, du'/dt) of a mode of a JEPA with a teacher that follows at rate tau."""
    lam, rho, tau = (np.asarray(v, dtype=float) for v in (lam, rho, tau))
    return lam * u**depth * (teacher**depth - u ** (depth + 1) / rho), tau * (u - teacher)


def slow_teacher_time(rho: ArrayLike, depth: int, eps: ArrayLike, tau: ArrayLike, fraction: ArrayLike = 0.5) -> NDArray:
    """C. Critical time of the encoder's gain for tau -> 0, when the encoder is always done with its present teacher.

    Then u^{L+1} = rho u'^L, and z = u'^{1/(L+1)} obeys dz/dt = tau / (L+1) (rho^{1/(L+1)} - z), a linear equation: the time
    for w = u^L to reach `fraction` of rho^L is (L+1)/tau ln[(r - z0) / (r - z1)], r = rho^{1/(L+1)}, z0 = eps^{1/(L(L+1))},
    z1 = r fraction^{1/L^2}. It does not depend on lam. Zero where z0 > z1: the encoder then passes the threshold in its
    first relaxation, in a time that does not grow with 1 / tau.
    """
    check("jepa", rho=rho, eps=eps, lam=tau, depth=depth)
    rho, eps, tau, fraction = (np.asarray(v, dtype=float) for v in (rho, eps, tau, fraction))
    r, z0 = rho ** (1 / (depth + 1)), eps ** (1 / (depth * (depth + 1)))
    z1 = r * fraction ** (1 / depth**2)
    return (depth + 1) / tau * np.log((r - np.minimum(z0, z1)) / (r - z1))


def escape_rate(
    objective: Objective, kept: tuple[float, float], other: tuple[ArrayLike, ArrayLike], depth: int, weight_decay: float = 0.0
) -> NDArray:
    """B, D. Rate at which an encoder that holds the feature (lam, rho) = `kept` is turned towards a dropped `other` one,
    because it is full or because weight decay eta has removed the other.

    At the stationary point of the kept feature, with singular value u, an entry towards the other feature (s_j^2 =
    lam_j / rho_j) appears to first order only in the first layer, delta, and in the head, nu:

        JEPA   ddelta/dt = (u^{2L-1} (lam_j - u s_j^2) - eta) delta
        MAE    ddelta/dt = -(u^{2L} s_j^2 + eta) delta + u^{L-1} lam_j nu,
               dnu/dt = u^{L-1} lam_j delta - (u^{2L} s^2 + eta) nu,      s^2 = lam / rho

    and the rate is the larger eigenvalue. Without decay JEPA (u = rho) leaves the kept feature for any of higher rho, and
    MAE (u^{L+1} = rho) for any of higher lam rho, the order of reduced-rank regression, whatever was learned first.
    """
    check(objective, *kept, depth)
    check(objective, *other)
    (lam, rho), (lam_j, rho_j), L = kept, (np.asarray(v, dtype=float) for v in other), depth
    u = decayed_gain(objective, lam, rho, depth, weight_decay) ** (1 / L)
    if objective == "jepa":
        return u ** (2 * L - 1) * (lam_j - u * lam_j / rho_j) - weight_decay
    a, d = -(u ** (2 * L)) * lam_j / rho_j, -(u ** (2 * L)) * lam / rho
    return (a + d) / 2 + np.sqrt(((a - d) / 2) ** 2 + (u ** (L - 1) * lam_j) ** 2) - weight_decay
