"""Covariance and influence of the features of the paper's two generative models (theory, section 5)."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def temporal(signal: ArrayLike, gamma: ArrayLike, noise: ArrayLike) -> tuple[NDArray, NDArray]:
    """(lam, rho) of x = z_t + n_t, y = z_{t+1} + n_{t+1} with Var z = signal, Var n = noise, corr(z_t, z_{t+1}) = gamma:
    lam = gamma signal, rho = gamma signal / (signal + noise)."""
    signal, gamma, noise = (np.asarray(v, dtype=float) for v in (signal, gamma, noise))
    lam = gamma * signal
    return lam, lam / (signal + noise)


def static(signal: ArrayLike, noise: ArrayLike) -> tuple[NDArray, NDArray]:
    """(lam, rho) of x = z + n_1, y = z + n_2: the temporal model at gamma = 1."""
    return temporal(signal, 1.0, noise)
