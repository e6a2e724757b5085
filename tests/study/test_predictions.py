"""Predictions beyond the paper against numerical integration, maximisation and linearisation."""

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.optimize import minimize_scalar

from models.gradient_flow import GradientFlow, square
from study.theory import flow
from study.theory.predictions import decayed_gain, ema_rates, escape_rate, final_encoder, largest_decay, slow_teacher_time

ONE = torch.ones(1, 1, 1, dtype=torch.float64)


@pytest.mark.parametrize(
    ("depth", "rho", "u0", "v0", "kappa"), [(1, 0.7, 0.2, 0.2, 3.0), (2, 0.9, 0.3, 0.5, 0.2), (3, 1.2, 0.4, 0.2, 10.0)]
)
def test_final_encoder(depth, rho, u0, v0, kappa):
    def rates(t, y):
        u, v = y
        return v * u ** (2 * depth - 1) * (1 - v / rho), kappa * u ** (2 * depth) * (1 - v / rho)

    solved = solve_ivp(rates, (0, 1e5), (u0, v0), "LSODA", rtol=1e-10, atol=1e-12)
    assert solved.y[0, -1] == pytest.approx(float(final_encoder(rho, u0, v0, kappa)), rel=1e-6)
    assert float(final_encoder(0.5, 0.1, 0.6, 1.0)) == 0


@pytest.mark.parametrize("objective", ["jepa", "mae"])
@pytest.mark.parametrize("depth", [1, 2, 3, 6])
@pytest.mark.parametrize(("lam", "rho"), [(1.0, 0.6), (0.7, 1.3)])
def test_largest_decay_is_the_maximum_growth(objective, depth, lam, rho):
    found = minimize_scalar(
        lambda u: -float(flow.rate(objective, u, lam, rho, depth)) / u,
        bounds=(1e-9, rho + 1),
        method="bounded",
        options={"xatol": 1e-12},
    )
    assert float(largest_decay(objective, lam, rho, depth)) == pytest.approx(-found.fun, rel=1e-6)
    eta = 0.8 * float(largest_decay(objective, lam, rho, depth))
    u = decayed_gain(objective, lam, rho, depth, eta) ** (1 / depth)
    assert float(flow.rate(objective, u, lam, rho, depth)) == pytest.approx(eta * u, rel=1e-9)
    assert decayed_gain(objective, lam, rho, depth, 1.01 * float(largest_decay(objective, lam, rho, depth))) == 0


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_slow_teacher_time(depth):
    lam, rho, eps, tau = 0.8, 0.9, 0.05, 1e-7

    def rates(t, y):
        u, teacher = np.exp(y)
        return np.array(ema_rates(u, teacher, lam, rho, depth, tau)) / (u, teacher)

    def half(t, y):
        return depth * y[0] - np.log(0.5 * rho**depth)

    half.terminal = True
    expected = float(slow_teacher_time(rho, depth, eps, tau))
    solved = solve_ivp(rates, (0, 3 * expected), np.full(2, np.log(eps) / depth), "LSODA", events=half, rtol=1e-9, atol=1e-10)
    assert solved.t_events[0][0] == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("objective", ["jepa", "mae"])
@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize(("kept", "other"), [((1.0, 0.6), (0.5, 0.9)), ((0.5, 0.9), (1.0, 0.6)), ((1.0, 0.5), (0.9, 0.6))])
@pytest.mark.parametrize("share", [0.0, 0.9])
def test_escape_rate_is_the_largest_eigenvalue_at_the_stationary_point(objective, depth, kept, other, share):
    """One feature's room (k = 1) in two dimensions, all widths 1."""
    lam, rho = (torch.tensor(v, dtype=torch.float64) for v in zip(kept, other, strict=True))
    Sxx, Syx = torch.diag(lam / rho)[None], torch.diag(lam)[None]
    eta = share * float(largest_decay(objective, *kept, depth))
    system = GradientFlow(depth, objective == "jepa", Sxx, Syx, ONE, eta * ONE)
    u = decayed_gain(objective, *kept, depth, eta) ** (1 / depth)
    layers = [torch.tensor([[[u, 0.0]]], dtype=torch.float64), *[torch.tensor([[[u]]], dtype=torch.float64)] * (depth - 1)]
    head = (
        torch.tensor([[[u]]], dtype=torch.float64) if objective == "jepa" else torch.tensor([[[u], [0.0]]], dtype=torch.float64)
    )
    y = square([*layers, head], 2).flatten(1)
    assert system.velocity(y).abs().max() < 1e-14
    # Entries that are really there; the padding does not move.
    mask = square([torch.ones_like(w) for w in [*layers, head]], 2).flatten() > 0
    J = system.jacobian(y)[0][mask][:, mask]
    towards = torch.linalg.eigvals(J)
    expected = float(escape_rate(objective, kept, other, depth, eta))
    assert torch.isclose(towards.real, torch.tensor(expected).double(), atol=1e-10).any()
    if expected > 0:
        assert float(towards.real.max()) == pytest.approx(expected, rel=1e-9)
