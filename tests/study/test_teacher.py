"""Prediction F, slow teachers: closed forms against integration of the modes' equations, and against trained networks."""

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from datamodules import GaussianPairs
from models import EMA, MLP, Learner
from models.gradient_flow import GradientFlow, square
from models.optimizers import SGD
from models.population import products
from study.theory import exact, flow, teacher
from study.theory.predictions import ema_rates, final_encoder
from study.theory.rosenbrock import integrate

RHO = np.array([0.4, 0.9])
N = np.array([0.1, 1.6, 16.0])


def integrated(lam, rho, depth, start, tau, times, kappa=1.0):
    """u and u' [2, times] of one mode: student, head and teacher as three unknowns, in log."""

    def velocity(_, y):
        u, v, average = np.exp(y)
        force = lam * (average**depth - v * u**depth / rho)
        return np.array([v * u ** (depth - 1) * force / u, kappa * u**depth * force / v, tau * (u - average) / average])

    solved = solve_ivp(velocity, (0, times[-1]), np.full(3, np.log(start)), "LSODA", t_eval=times, rtol=1e-11, atol=1e-12)
    assert solved.success
    return np.exp(solved.y[[0, 2]])


@pytest.mark.parametrize("depth", [1, 2, 4])
@pytest.mark.parametrize("start", [0.1, 0.9, 1.3])
def test_the_gain_over_turnovers_is_that_of_the_modes_equations_whatever_the_covariance(depth, start):
    slow = 1e-4 * min(0.4, start) ** (2 * depth)  # of the slowest relaxation of the student
    for lam, rho in ((1.0, 0.4), (0.2, 0.9)):
        found = integrated(lam, rho, depth, start, slow, N / slow)
        np.testing.assert_allclose(found[0] ** depth, teacher.gain(N, rho, depth, start), rtol=5e-3)
        np.testing.assert_allclose(found[1], teacher.root(N, rho, depth, start) ** (depth + 1), rtol=5e-3)


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_a_teacher_that_has_not_turned_over_leaves_the_order_of_mae_and_one_that_has_the_order_of_jepa(depth):
    for turnovers, objective in ((0.0, "mae"), (40.0 * (depth + 1), "jepa")):
        low, high = teacher.gain(turnovers, RHO, depth, 0.7)
        expected = flow.fixed_point(objective, RHO, depth)
        assert low / high == pytest.approx(expected[0] / expected[1], rel=1e-12)
    assert teacher.exponent([0.0, 1e3], 0.6, depth, 0.7) == pytest.approx([depth / (depth + 1), depth])


@pytest.mark.parametrize("depth", [1, 3, 8])
def test_the_exponent_is_the_logarithmic_slope_of_the_gain(depth):
    h = 1e-6
    up, down = (np.log(teacher.gain(N, 0.6 * np.exp(sign * h), depth, 0.5)) for sign in (1, -1))
    np.testing.assert_allclose(teacher.exponent(N, 0.6, depth, 0.5), (up - down) / (2 * h), rtol=1e-7)


@pytest.mark.parametrize("start", [(0.9, 0.9), (0.02, 0.02), (1.4, 1.4), (0.4 ** (1 / 3), 0.9 ** (1 / 3))])
def test_turnovers_until_a_ratio_invert_the_gains(start):
    depth, rho = 2, (0.4, 0.9)
    first, last = (teacher.gain(n, 0.4, depth, start[0]) / teacher.gain(n, 0.9, depth, start[1]) for n in (0, 1e4))
    for ratio in np.linspace(first, last, 7)[1:-1]:
        n = teacher.turnovers_until(ratio, rho, depth, start)
        found = teacher.gain(n, 0.4, depth, start[0]) / teacher.gain(n, 0.9, depth, start[1])
        assert found == pytest.approx(ratio, rel=1e-9) and 0 < n < 100
    assert teacher.turnovers_until(1.01 * first, rho, depth, start) == 0
    assert teacher.turnovers_until(0.99 * last, rho, depth, start) == np.inf


def test_turnovers_until_asks_for_the_lower_rho_first():
    with pytest.raises(ValueError, match=r"the first feature must have the lower rho, found 0\.9 and 0\.4"):
        teacher.turnovers_until(0.2, (0.9, 0.4), 2, (0.9, 0.9))


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("rho", [0.4, 0.9])
def test_the_lag_behind_the_present_teacher_is_right_to_first_order_in_its_rate(depth, rho):
    taus = np.array([1e-3, 5e-4]) * 0.4 ** (2 * depth)
    left, first = [], []
    for tau in taus:
        (u,), (average,) = integrated(0.8, rho, depth, 0.7, tau, np.array([1.0 / tau]))
        measured = 1 - u / (rho * average**depth) ** (1 / (depth + 1))
        first.append(float(teacher.lag(1.0, 0.8, rho, depth, 0.7, tau)))
        left.append(measured - first[-1])
    assert np.abs(left) == pytest.approx(0, abs=0.02 * abs(first[0]))
    assert left[0] / left[1] == pytest.approx(4, rel=0.05)
    assert np.sign(first[0]) == (1 if rho == 0.9 else -1)  # growing features lag below, shrinking ones above


@pytest.mark.parametrize("depth", [1, 2, 4])
@pytest.mark.parametrize("kappa", [0.8, 1.0, 10.0])
def test_a_head_of_another_rate_changes_speed_and_end_as_predicted(depth, kappa):
    tau = 1e-4 * 0.4 ** (2 * depth)
    found = integrated(1.0, 0.4, depth, 0.7, tau, N / tau, kappa)[0] ** depth
    predicted = teacher.gain_with_predictor([*N, 1e3], 0.4, depth, 0.7, kappa)
    np.testing.assert_allclose(found, predicted[:-1], rtol=5e-3)
    end = final_encoder(0.4, 0.7, 0.7, kappa) ** depth
    assert predicted[-1] == pytest.approx(float(end), rel=1e-7)


def test_a_head_that_is_always_optimal_leaves_the_encoder_where_it_was():
    moved = [1 - teacher.gain_with_predictor(1e3, 0.4, 2, 0.9, kappa)[0] / 0.81 for kappa in (1e3, 1e4)]
    assert moved[1] < 1e-4 and moved[0] / moved[1] == pytest.approx(10, rel=1e-2)


def test_a_feature_that_a_slow_head_makes_collapse_is_refused():
    with pytest.raises(ValueError, match="the feature collapses"):
        teacher.gain_with_predictor(1.0, 0.4, 2, 0.9, 0.3)
    with pytest.raises(ValueError, match="turnovers must rise"):
        teacher.gain_with_predictor([1.0, 0.5], 0.4, 2, 0.9, 1.0)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_fast_teacher_is_the_stop_gradient_target(depth):
    """tau -> infinity gives the trajectory of section 2, with a difference that falls like 1 / tau."""
    lam, rho, start = 1.0, 0.9, 0.3
    times = np.array([0.2, 1.0]) * float(exact.critical_time("jepa", lam, rho, depth, start**depth))
    off = []
    for tau in (1e3, 1e4):

        def velocity(_, y, tau=tau):
            return np.array(ema_rates(y[0], y[1], lam, rho, depth, tau))

        solved = solve_ivp(velocity, (0, times[-1]), [start] * 2, "LSODA", t_eval=times, rtol=1e-11, atol=1e-12)
        expected = exact.trajectory("jepa", times, lam, rho, depth, start**depth)
        off.append(np.abs(solved.y[0] ** depth / expected - 1).max())
    assert off[1] < 1e-3 and off[0] / off[1] == pytest.approx(10, rel=0.05)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_student_of_any_teacher_is_balanced_around_what_the_teacher_asks_for(depth):
    rho = torch.tensor([0.4, 0.6, 0.9], dtype=torch.float64)
    one = torch.ones(1, 1, 1, dtype=torch.float64)
    drawn = torch.randn(3, 3, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    other = torch.linalg.qr(drawn)[0] @ torch.diag(torch.tensor([0.8, 1.0, 1.3], dtype=torch.float64))
    eps = 1e-3
    encoder = MLP(3, [3] * (depth - 1), 3, seeds=[0], eps=eps, dtype="float64")
    layers = [weight.detach() for weight in encoder.layers]
    other[:, 0] *= torch.linalg.det(other).sign() * torch.linalg.det(products(layers)[-1][0]).sign()  # balance keeps the sign
    head = eps ** (1 / depth) * torch.eye(3, dtype=torch.float64)[None]
    # A teacher of that matrix: other times the identity of every further layer; tau of next to nothing keeps it.
    flow_of = GradientFlow(
        depth, True, torch.eye(3, dtype=torch.float64)[None], torch.diag(rho)[None], one, 0 * one, 1e-15 * one
    )
    asking = [other[None], *[torch.eye(3, dtype=torch.float64)[None]] * (depth - 1)]
    y = square([*layers, head, *asking], 3).flatten(1)
    *_, last = integrate(flow_of.take, y, torch.tensor([1e4], dtype=torch.float64), 1e-5)
    found = flow_of.product(last.y)[0].norm(dim=0).numpy()
    np.testing.assert_allclose(found, teacher.imitation((other @ torch.diag(rho)).numpy(), depth), rtol=0.02)


def test_a_teacher_of_one_direction_leaves_the_distractor_less_than_one_of_all_does():
    for depth in (1, 2, 8):
        low, high = teacher.imitation(np.eye(2) * RHO, depth)
        assert low / high == pytest.approx((0.4 / 0.9) ** (depth / (depth + 1)))
        low, high = teacher.imitation(np.ones((1, 2)) * RHO, depth)
        assert low / high == pytest.approx(0.4 / 0.9)


@pytest.mark.parametrize(("last", "over", "updates"), [(None, None, 7), (1.0, 20, 20), (1.0, 25, 20), (0.99, 5, 12)])
def test_turnovers_count_what_the_teacher_takes_over(last, over, updates):
    objective, average, taken = EMA(0.9, last=last, over=over), torch.ones(1, dtype=torch.float64), 0.0
    for update in range(updates):
        before = average.clone()
        objective.follow([average], [torch.zeros(1, dtype=torch.float64)], update)
        taken += 1 - float(average / before)
    assert teacher.turnovers(0.9, last or 0.9, over or 1, updates) == pytest.approx(taken, rel=1e-12)


@pytest.mark.parametrize("depth", [1, 2])
def test_networks_trained_with_an_average_of_their_weights_follow_the_curve(depth):
    """1,000 updates per turnover, on exact moments."""
    lr, momentum, updates = 0.3, 0.999, 1000
    data = GaussianPairs([1.0, 0.5], RHO.tolist(), basis="rotated")
    data.setup()
    encoder = MLP(2, [2] * (depth - 1), 2, seeds=[0], eps=0.9**depth, dtype="float64")
    learner = Learner(encoder, EMA(momentum), lr=lr)
    (features,) = data.features()
    directions = features.directions[:, features.rho.argsort()].to(torch.float64)
    optimizer = SGD([*encoder.parameters(), learner.predictor.weight], torch.tensor([lr], dtype=torch.float64))
    learner.advance([data.pairs(0, torch.device("cpu"))] * updates, optimizer)
    product = torch.eye(2, dtype=torch.float64)
    for weight in encoder.layers:
        product = weight[0].detach() @ product
    found = (product @ directions).norm(dim=0).numpy()
    n = teacher.turnovers(momentum, momentum, 1, updates)
    np.testing.assert_allclose(found, teacher.gain(n, RHO, depth, 0.9), rtol=0.03)
