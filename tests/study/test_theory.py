"""Exact times against high-precision quadrature; formulas against each other and against numbers of the theory."""

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from study.theory import asymptotic, exact, flow

OBJECTIVES = ("jepa", "mae")


def reference_time(objective, u0, u, rho, depth):
    """40-digit quadrature of du / (du/dt) in log u."""
    with mpmath.workdps(40):
        u0, u, rho = map(mpmath.mpf, (u0, u, rho))
        power, stop = (2 * depth, 1) if objective == "jepa" else (depth, depth + 1)

        def integrand(y):
            v = mpmath.e**y
            return v ** (1 - power) / (1 - v**stop / rho)

        ends = [mpmath.log(u0), mpmath.log(u)]
        return float(mpmath.quad(integrand, [ends[0] + (ends[1] - ends[0]) * i / 6 for i in range(7)]))


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(OBJECTIVES), st.integers(1, 12), st.floats(0.2, 5), st.floats(-6, -0.523),
    st.sampled_from([1e-6, 0.01, 0.3, 0.9, 0.999]),
)  # fmt: skip
def test_time_below_and_above_the_fixed_point(objective, depth, rho, exponent, share):
    u0 = 10 ** (exponent / depth)
    end = float(flow.fixed_point(objective, rho, depth)) ** (1 / depth)
    u = u0 + share * (end - u0)  # above the fixed point where u0 is
    if abs(u / u0 - 1) < 1e-12:
        return
    expected = reference_time(objective, u0, u, rho, depth)
    assert float(exact.time(objective, u0, u, 1.0, rho, depth)) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("depth", range(1, 13))
@pytest.mark.parametrize(("rho", "eps"), [(0.2, 1e-6), (0.2, 0.3), (1.0, 0.3), (5.0, 1e-6), (5.0, 0.3)])
def test_time_at_the_corners_of_its_range(objective, depth, rho, eps):
    u0 = eps ** (1 / depth)
    end = float(flow.fixed_point(objective, rho, depth)) ** (1 / depth)
    for share in (0.5, 0.99):
        u = u0 + share * (end - u0)
        expected = reference_time(objective, u0, u, rho, depth)
        assert float(exact.time(objective, u0, u, 1.0, rho, depth)) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_time_at_the_seams_of_its_method(objective):
    """One array of all depths: both sides of the fixed point, ends before, at and beyond the cut, and very short ways."""
    rng = np.random.default_rng(0)
    depth, sign, ends = np.meshgrid(np.arange(1, 13), [-1, 1], np.arange(6), indexing="ij")
    v = exact.CUT * np.array([[3, 1.001], [3, 1], [1, 0.1], [1.001, 0.999], [0.5, 0.5 - 1e-9], [4, 4 - 1e-9]])[ends]
    rho = rng.uniform(0.2, 5, depth.shape)
    power = np.ones_like(depth) if objective == "jepa" else depth + 1
    u0, u = np.moveaxis((rho[..., None] * np.exp(sign[..., None] * v)) ** (1 / power[..., None]), -1, 0)
    expected = [
        reference_time(objective, *map(float, p[:3]), int(p[3])) for p in zip(*map(np.ravel, (u0, u, rho, depth)), strict=True)
    ]
    np.testing.assert_allclose(exact.time(objective, u0, u, 1.0, rho, depth).ravel(), expected, rtol=1e-12)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_blocks_do_not_change_times(objective):
    rng = np.random.default_rng(0)
    n = 2 * exact.BLOCK + 3
    values = rng.uniform(0.1, 2, n), rng.uniform(0.2, 5, n), rng.integers(1, 13, n), 10 ** rng.uniform(-6, -0.523, n)
    whole = exact.critical_time(objective, *values)
    pieces = [exact.critical_time(objective, *piece) for piece in zip(*(np.array_split(v, 7) for v in values), strict=True)]
    np.testing.assert_allclose(whole, np.concatenate(pieces), rtol=1e-14)
    assert exact.critical_time(objective, *(v[:0] for v in values)).shape == (0,)
    assert exact.critical_time(objective, 1.0, 0.5, 2, 0.1).shape == ()


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("depth", [1, 2, 5])
@pytest.mark.parametrize("eps", [1e-3, 3.0])
def test_trajectory_solves_the_flow(objective, depth, eps):
    lam, rho = 0.7, 0.8
    end = (
        3
        * float(
            exact.time(
                objective, eps ** (1 / depth), 0.9 * flow.fixed_point(objective, rho, depth) ** (1 / depth), lam, rho, depth
            )
        )
        if eps < 1
        else 5.0
    )
    t = np.linspace(0, end, 50)
    solved = solve_ivp(
        lambda _, w: flow.gain_rate(objective, w, lam, rho, depth), (0, end), [eps], "DOP853", t, rtol=1e-11, atol=1e-14
    )
    np.testing.assert_allclose(exact.trajectory(objective, t, lam, rho, depth, eps), solved.y[0], rtol=1e-6)


def test_a_trajectory_that_starts_next_to_its_fixed_point_ends_there():
    rho, eps = 0.44952319442482586, 0.2025  # JEPA's fixed point is rho^2 = 0.2021, which rounding reaches
    found = exact.trajectory("jepa", np.linspace(0, 6, 81), 0.07354151748914486, rho, 2, eps)
    assert (np.diff(found) <= 0).all() and rho**2 <= found[-1] <= found[0] == pytest.approx(eps)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_two_rates_agree(objective):
    u, h = 0.6, 1e-6
    for depth in (1, 2, 4):
        chain = depth * u ** (depth - 1) * flow.rate(objective, u, 1.3, 0.9, depth)
        assert chain == pytest.approx(flow.gain_rate(objective, u**depth, 1.3, 0.9, depth), rel=1e-12)
        fixed = flow.fixed_point(objective, 0.9, depth)
        assert flow.gain_rate(objective, fixed, 1.3, 0.9, depth) == pytest.approx(0, abs=1e-12)
        assert flow.gain_rate(objective, fixed * (1 - h), 1.3, 0.9, depth) > 0


@pytest.mark.parametrize(
    ("depth", "eps", "jepa", "mae"),
    [(2, 1e-2, "1.18", "0.97"), (2, 1e-4, "1.016", "1.00"), (4, 1e-4, "1.155", "1.00"), (8, 1e-4, "2.09", "1.00")],
)
def test_slowdowns_of_theory_section_4(depth, eps, jepa, mae):
    for objective, expected in (("jepa", jepa), ("mae", mae)):
        slow, fast = (float(exact.critical_time(objective, 1.0, rho, depth, eps)) for rho in (0.5, 1.0))
        assert f"{slow / fast:.{len(expected) - 2}f}" == expected


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_leading_terms_leave_the_stated_remainder(depth):
    """JEPA: remainder Theta(log eps), MAE: Theta(1); so remainder / log eps, or remainder, settles as eps -> 0."""
    eps = np.array([1e-5, 1e-6, 1e-7])  # smaller ones drown the remainder in rounding
    remainder = exact.critical_time("jepa", 1.0, 0.6, depth, eps) - asymptotic.critical_time("jepa", 1.0, 0.6, depth, eps)
    slope = np.diff(remainder) / np.diff(np.log(eps))
    # The logarithm's coefficient is that of the exact time: -rho^{-(2L-1)} / L.
    np.testing.assert_allclose(slope, -(0.6 ** (1 - 2 * depth)) / depth, rtol=0.12)
    remainder = exact.critical_time("mae", 1.0, 0.6, depth, eps) - asymptotic.critical_time("mae", 1.0, 0.6, depth, eps)
    assert np.ptp(remainder) < 0.02 * abs(remainder[-1])


def test_leading_slowdown():
    eps = np.array([1e-6, 1e-8, 1e-10])
    measured = exact.critical_time("jepa", 1.0, 0.5, 2, eps) / exact.critical_time("jepa", 1.0, 1.0, 2, eps)
    error = np.abs(measured - asymptotic.slowdown("jepa", 0.5, 1.0, 2, eps))
    order = np.diff(np.log(error)) / np.diff(np.log(eps))  # O(eps^{2/L}) = O(eps), up to a logarithm
    assert (order > 0.8).all()
    assert (asymptotic.slowdown("mae", 0.5, 1.0, 2, eps) == 1).all()


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_unreachable_is_infinite(objective):
    assert exact.time(objective, 0.1, 2.0, 1.0, 0.5, 2) == np.inf  # beyond the fixed point
    assert exact.time(objective, 0.3, 0.2, 1.0, 0.9, 2) == np.inf  # behind the start
    assert exact.time(objective, 0.3, 0.3, 1.0, 0.9, 2) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [({"rho": 0.0}, "rho must be positive"), ({"lam": -1.0}, "lam must be"), ({"depth": 0}, "depth must be"),
     ({"eps": 0.0}, "eps must be"), ({"depth": 1.5}, "depth must be"), ({"rho": np.nan}, "rho must be")],
)  # fmt: skip
def test_impossible_values_are_refused(change, message):
    values = {"lam": 1.0, "rho": 0.5, "depth": 2, "eps": 0.1, **change}
    with pytest.raises(ValueError, match=message):
        exact.critical_time("jepa", **values)
    with pytest.raises(ValueError, match="objective"):
        exact.critical_time("vae", 1.0, 0.5, 2, 0.1)
