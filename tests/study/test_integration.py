"""The integrator and the runs made of it: order, references, invariances and refusals."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from datamodules import GaussianPairs, Moments, TemporalPairs
from models.gradient_flow import GradientFlow
from study.experiments.linear import HALF, read
from study.experiments.phases import Phases
from study.running.failed import Stalled
from study.running.integration import Integration
from study.theory import exact, flow
from study.theory.crossing import first_crossing
from study.theory.rosenbrock import Stopped, attempt, integrate


class Oscillator:
    """y'' = -y as a system: (cos t, -sin t) from (1, 0)."""

    A = torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64)

    def velocity(self, y):
        return y @ self.A.T

    def jacobian(self, y):
        return self.A.expand(len(y), 2, 2)


class Logistic:
    """y' = y (1 - y) of each component."""

    def velocity(self, y):
        return y * (1 - y)

    def jacobian(self, y):
        return torch.diag_embed(1 - 2 * y)


def logistic(y0, t):
    return 1 / (1 + (1 / y0 - 1) * np.exp(-t))


@pytest.mark.parametrize("system", [Oscillator(), Logistic()])
def test_a_fixed_step_has_at_least_order_five(system):
    errors, sizes = [], np.array([0.2, 0.1, 0.05, 0.025])
    for h in sizes:
        y = torch.tensor([[0.9, 0.1]], dtype=torch.float64)
        for _ in range(round(4 / h)):
            y, _ = attempt(system, y, torch.tensor([h], dtype=torch.float64))
        if isinstance(system, Logistic):
            expected = logistic(np.array([0.9, 0.1]), 4.0)
        else:
            expected = np.array([0.9 * np.cos(4) + 0.1 * np.sin(4), 0.1 * np.cos(4) - 0.9 * np.sin(4)])
        errors.append(np.abs(y[0].numpy() - expected).max())
    assert np.polyfit(np.log(sizes), np.log(errors), 1)[0] > 4.7  # linear systems do better than 5


def test_the_error_follows_the_tolerance():
    tolerances, errors = np.logspace(-4, -10, 7), []
    for tolerance in tolerances:
        y0 = torch.tensor([[1e-3, 2e-3]], dtype=torch.float64)
        *_, last = integrate(lambda index: Logistic(), y0, torch.tensor([12.0], dtype=torch.float64), tolerance, 1e-3)
        errors.append(np.abs(last.y[0].numpy() / logistic(y0[0].numpy(), 12.0) - 1).max())
    assert np.polyfit(np.log(tolerances), np.log(errors), 1)[0] == pytest.approx(1, abs=0.3)


def test_stiff_systems_take_few_steps():
    steps = list(
        integrate(lambda i: Logistic(), torch.full((1, 1), 1e-3, dtype=torch.float64), torch.tensor([1e9]).double(), 1e-6)
    )
    assert len(steps) < 200
    assert float(steps[-1].t) == 1e9
    assert float(steps[-1].y) == pytest.approx(1, abs=1e-9)


class Explosion(Logistic):
    """y' = y^2: infinite at t = 1 / y0."""

    def velocity(self, y):
        return y**2

    def jacobian(self, y):
        return torch.diag_embed(2 * y)


def test_a_diverging_solution_stops_with_time_and_system():
    y0 = torch.tensor([[0.01], [0.5]], dtype=torch.float64)
    with pytest.raises(Stopped) as stop:
        list(integrate(lambda i: Explosion(), y0, torch.tensor([10.0, 10.0]).double(), 1e-6))
    assert stop.value.network == 1
    assert stop.value.time == pytest.approx(2, rel=1e-3)


def run(out, lam=((1.0, 0.9), (0.8, 1.0)), rho=((0.6, 0.9), (0.9, 0.5)), objective="jepa", depth=2, eps=0.05, **more):
    experiment = Phases(tolerance=more.pop("tolerance", 1e-8))
    lam, rho = np.array(lam), np.array(rho)
    until = 2 * exact.critical_time(objective, lam, rho, depth, eps, 0.99).max(1)
    half = 0.5 * flow.fixed_point(objective, rho, depth)
    made = experiment.integration("x", objective, lam, rho, depth, eps, more.pop("until", until), {HALF: half}, **more)
    return made.execute(out)


@pytest.mark.parametrize("objective", ["jepa", "mae"])
@pytest.mark.parametrize("depth", [1, 3])
def test_full_matrices_follow_the_exact_theory(tmp_path, objective, depth):
    result = run(tmp_path, objective=objective, depth=depth)
    lam, rho = np.array([[1.0, 0.9], [0.8, 1.0]]), np.array([[0.6, 0.9], [0.9, 0.5]])
    theory = exact.critical_time(objective, lam, rho, depth, 0.05, 0.5)
    np.testing.assert_allclose(read(result, f"linear/crossing/{HALF}"), theory, rtol=1e-6)


@pytest.mark.parametrize("objective", ["jepa", "mae"])
def test_agrees_with_scipys_radau_from_ordinary_weights(tmp_path, objective):
    """No formula here: random weights, a teacher or a decay, and another integrator."""
    moments = TemporalPairs([1.0, 0.7, 0.5], [1.0, 0.8, 0.9], [0.1, 0.3, 0.2], basis="noncommuting").moments()[0]
    generator = torch.Generator().manual_seed(0)
    one = torch.ones(1, 1, 1, dtype=torch.float64)
    tau = 0.3 * one if objective == "jepa" else None
    system = GradientFlow(2, objective == "jepa", moments.Sxx[None], moments.Syx[None], 2 * one, 0.01 * one, tau)
    layers = [0.5 * torch.randn(1, 3, 3, dtype=torch.float64, generator=generator) for _ in range(3)]
    y = system.pack(layers[:2], layers[2])
    *_, last = integrate(system.take, y, torch.tensor([20.0]).double(), 1e-9, 0.1)
    solved = solve_ivp(
        lambda t, v: system.velocity(torch.tensor(v)[None])[0].numpy(), (0, 20), y[0].numpy(), "Radau", rtol=1e-9, atol=1e-11
    )
    np.testing.assert_allclose(last.y[0].numpy(), solved.y[:, -1], rtol=1e-6, atol=1e-7)


def test_stacked_equals_separate(tmp_path):
    lam, rho = ((1.0, 0.9), (0.8, 1.0), (0.5, 0.4)), ((0.6, 0.9), (0.9, 0.5), (0.7, 0.8))
    whole = run(tmp_path / "whole", lam, rho, seeds=[3, 4, 5], init="normal", until=[300.0, 500.0, 1e4])
    for n, end in enumerate([300.0, 500.0, 1e4]):
        alone = run(tmp_path / str(n), lam[n : n + 1], rho[n : n + 1], seeds=[3 + n], init="normal", until=[end])
        for metric in ("linear/gain", f"linear/crossing/{HALF}"):
            # gains of 1e-9 are sums of numbers of 1e-4, whose order of addition is the processor's
            np.testing.assert_allclose(read(alone, metric)[0], read(whole, metric)[n], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("objective", ["jepa", "mae"])
def test_rotating_the_basis_leaves_gains_unchanged(tmp_path, objective):
    results = [run(tmp_path, objective=objective, basis=basis) for basis in ("diagonal", "rotated")]
    for metric in ("linear/gain", f"linear/crossing/{HALF}"):
        np.testing.assert_allclose(*(read(r, metric) for r in results), rtol=1e-6)


def test_scaling_the_views_scales_lambda_and_rho():
    """x -> a x, y -> b y: lambda -> a b lambda, rho -> b rho / a (docs/theory.md)."""
    x, y = GaussianPairs([1.0, 0.5, 0.2], [0.9, 0.3, 0.6], basis="rotated").sample(0, 5000)
    one, other = Moments.of(x[0], y[0]).features(), Moments.of(3 * x[0], 0.5 * y[0]).features()
    torch.testing.assert_close(other.lam, 3 * 0.5 * one.lam)
    torch.testing.assert_close(other.rho, 0.5 / 3 * one.rho)


def test_levels_that_are_never_reached_are_infinite(tmp_path):
    result = run(tmp_path, until=[10.0, 10.0])
    assert np.isinf(read(result, f"linear/crossing/{HALF}")).all()


def test_crossings_go_both_ways_and_take_the_first():
    t = torch.linspace(0, 3, 301, dtype=torch.float64)[:, None]
    w, speed = 2 + torch.sin(2 * t)[..., None], 2 * torch.cos(2 * t)[..., None]
    for level, expected in ((2.5, np.arcsin(0.5) / 2), (1.5, (np.pi + np.arcsin(0.5)) / 2), (3.5, np.inf)):
        found = first_crossing(t, w, speed, torch.tensor([[level]], dtype=torch.float64))
        assert float(found) == pytest.approx(expected, rel=1e-8)


def test_an_integration_that_cannot_go_on_names_time_network_and_feature(tmp_path, monkeypatch):
    monkeypatch.setattr(GradientFlow, "velocity", lambda self, y: y**3)
    monkeypatch.setattr(GradientFlow, "jacobian", lambda self, y: torch.diag_embed(3 * y**2))
    with pytest.raises(Stalled, match=r"network \d stopped at time .* feature \d"):
        run(tmp_path, until=[1e9, 1e9])
    (reason,) = tmp_path.glob("phases/*/failed.json")
    assert {"reason", "network", "time"} <= set(json.loads(reason.read_text()))


def test_a_finished_integration_is_not_done_again(tmp_path):
    first = run(tmp_path)
    changed = (first.path / "metrics.parquet").stat().st_mtime_ns
    again = run(tmp_path)
    assert again.path == first.path
    assert (again.path / "metrics.parquet").stat().st_mtime_ns == changed
    assert run(tmp_path, tolerance=1e-7).path != first.path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": {"objective": {"class_path": "models.VAE"}}}, "models.VAE: expected a class there, found none of this name"),
        ({"model": {"objective": {"class_path": "models.Stopgradient"}}}, "found none of this name; like it are StopGradient"),
        (
            {"model": {"objective": {"class_path": "models.MLP"}}},
            "expected Objective or a class derived from it, found models.MLP",
        ),
        ({"model": {"objective": {"class_path": "StopGradient"}}}, "StopGradient: expected package.module.Class or"),
        (
            {"model": {"objective": {"class_path": "models.StopGradient", "init_args": {"distance": "smooth_l1"}}}},
            "MLP and StopGradient with these",
        ),
        (
            {"model": {"objective": {"class_path": "models.Pixels", "init_args": {"normalized": True}}}},
            "MLP and Pixels with these",
        ),
        (
            {"model": {"objective": {"class_path": "models.EMA"}}},
            "found no flow.tau with EMA",
        ),
        (
            {"model": {"objective": {"class_path": "models.EMA", "init_args": {"decay": 0.9}}}},
            "model.objective: a gradient flow has no updates, and so no decay",
        ),
        ({"model": {"encoder": {"class_path": "models.Stack"}}}, "model.encoder: expected MLP or a class derived from it"),
        ({"model": {"encoder": {"init_args": {"inputs": 2}}}}, "model.encoder: expected class_path and init_args"),
        ({"model": {"kappa": [1.0, 2.0, 3.0]}}, "kappa holds 3 values for 2 networks"),
        ({"model": {"weight_decay": -1.0}}, "weight_decay must be finite and not negative"),
        ({"model": {"lr": 0.1}}, "model: unknown or missing keys lr; valid keys: encoder, kappa"),
        ({"data": {"class_path": "datamodules.SourcePairs"}}, "data: expected LinearPairs or a class derived from it"),
        ({"data": {"init_args": {"lam": [1.0, 1.0]}}}, "data: datamodules.GaussianPairs has other options: missing .* 'rho'"),
        (
            {"data": {"init_args": {"lam": [1.0, 1.0], "rho": [1.0, 1.0], "batch": 4}}},
            "data: a gradient flow has no updates, and so no batch",
        ),
        ({"flow": {"accelerator": "tpu"}}, "flow.accelerator must be cpu or cuda, found 'tpu'"),
        ({"flow": {"tau": 1.0}}, "found flow.tau with StopGradient"),
        ({"flow": {"until": float("inf")}}, "until must be finite and positive"),
        ({"flow": {"tolerance": 2.0}}, r"tolerance must lie in \(0, 1\)"),
        ({"flow": {"colour": "red"}}, "flow: unknown or missing keys colour; valid keys: accelerator, fractions"),
    ],
)
def test_impossible_integrations_are_refused_and_write_nothing(tmp_path, change, message):
    made = Phases().integration("x", "jepa", np.ones((2, 2)), np.ones((2, 2)), 2, 0.1, 10.0)
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(made, config={part: made.config[part] | change.get(part, {}) for part in made.config}).execute(
            tmp_path
        )
    assert not list(tmp_path.rglob("config.yaml"))


def test_configurations_need_their_keys(tmp_path):
    config = {"model": {"encoder": {}, "objective": {}}, "data": {"class_path": ""}, "flow": {}}
    for wrong, message in (
        (config, "flow: unknown or missing keys until; valid keys: accelerator"),
        (config | {"trainer": {}}, "unknown or missing keys trainer; valid keys: data, flow, model"),
    ):
        with pytest.raises(ValueError, match=message):
            Integration("x", "y", wrong).execute(tmp_path)
