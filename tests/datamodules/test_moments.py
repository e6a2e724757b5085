"""Moments and generalised features, in float64, against closed forms and scipy."""

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from datamodules import GaussianPairs, Moments


def spd(d, seed):
    a = torch.randn(d, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return a @ a.T + 0.1 * torch.eye(d, dtype=torch.float64)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.lists(st.integers(1, 20), min_size=1, max_size=5), st.integers(0, 99))
def test_streamed_and_merged_equal_whole(d, sizes, seed):
    x, y = torch.randn(2, sum(sizes), d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    whole = Moments.of(x, y)
    parts = list(zip(x.split(sizes), y.split(sizes), strict=True))
    merged = sum((Moments.of(*p) for p in parts[1:]), Moments.of(*parts[0]))
    for moments in (Moments.stream(parts), merged):
        assert moments.count == whole.count == len(x)
        for name in ("Sxx", "Syx", "Syy"):
            torch.testing.assert_close(getattr(moments, name), getattr(whole, name), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("basis", ["diagonal", "rotated"])
@pytest.mark.parametrize(
    ("lam", "rho"),
    [([1.0, 0.5, 0.2], [0.9, 0.3, 0.6]), ([1.0, 1.0, 1.0], [0.9, 0.3, 0.6]), ([1.0, 0.5, 0.2], [0.4, 0.4, 0.4])],
)
def test_features_of_gaussian_pairs_are_the_given_ones(basis, lam, rho):
    """Also where lambda or rho is the same for all, so that one matrix alone does not fix the directions."""
    data = GaussianPairs(lam, rho, basis=basis, seed=4)
    (moments,) = data.moments()
    features = moments.features()
    order = sorted(zip(lam, rho, strict=True), key=lambda p: (p[0], p[1]))
    found = sorted(zip(features.lam.tolist(), features.rho.tolist(), strict=True), key=lambda p: (round(p[0], 9), p[1]))
    np.testing.assert_allclose(found, order, rtol=1e-10)
    identity = torch.eye(3, dtype=torch.float64)
    torch.testing.assert_close(features.directions.T @ features.directions, identity, rtol=0, atol=1e-10)


def test_generalised_features_solve_their_equation():
    Sxx, Syx = spd(6, 0), spd(6, 1)
    features = Moments(Sxx, Syx, Sxx).features()
    v = features.directions
    torch.testing.assert_close(Syx @ v, Sxx @ v * features.rho, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(v.norm(dim=0), torch.ones(6, dtype=torch.float64))
    torch.testing.assert_close((v * (Syx @ v)).sum(0), features.lam)
    assert (features.lam.diff() <= 0).all()
    np.testing.assert_allclose(np.sort(features.rho), scipy.linalg.eigvalsh(Syx, Sxx), rtol=1e-9)
    top = features.top("rho", 2)
    torch.testing.assert_close(top.T @ top, torch.eye(2, dtype=torch.float64))


def test_scaling_the_inputs():
    """x -> a x, y -> a y multiplies lambda by a^2 and leaves rho."""
    Sxx, Syx = spd(4, 2), spd(4, 3)
    one, scaled = Moments(Sxx, Syx, Sxx).features(), Moments(9 * Sxx, 9 * Syx, 9 * Sxx).features()
    torch.testing.assert_close(scaled.lam, 9 * one.lam)
    torch.testing.assert_close(scaled.rho, one.rho)


@pytest.mark.parametrize("rho", [0.3, 1.0, 2.5])
def test_samples_have_the_exact_moments(rho):
    data = GaussianPairs([1.0, 0.5], [rho, 0.7], basis="rotated", seed=1)
    x, y = data.sample(0, 400_000)
    (exact,) = data.moments()
    measured = Moments.of(x[0], y[0])
    for name in ("Sxx", "Syx", "Syy"):
        torch.testing.assert_close(getattr(measured, name), getattr(exact, name), rtol=0, atol=0.03)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GaussianPairs([1.0], [0.0]), "rho must be positive"),
        (lambda: GaussianPairs([-1.0], [0.5]), "lam must be positive"),
        (lambda: GaussianPairs([1.0, 2.0], [0.5]), "same shape"),
        (lambda: GaussianPairs([1.0], [0.5], batch=0), "batch"),
        (lambda: GaussianPairs([1.0], [0.5], updates=0), "updates"),
        (lambda: GaussianPairs([1.0], [0.5], chunk=0), "chunk"),
        (lambda: Moments(torch.zeros(2, 2).double(), *[torch.eye(2).double()] * 2).features(), "positive definite"),
        (lambda: Moments.stream([]), "empty"),
        (lambda: GaussianPairs([1.0], [0.5]).moments()[0] + GaussianPairs([1.0], [0.5]).moments()[0], "exact moments"),
    ],
)
def test_bad_input_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Sxx": torch.tensor([[1.0, 0.3], [0.0, 1.0]])}, "Sxx must be symmetric"),
        ({"Sxx": torch.diag(torch.tensor([1.0, -0.25]))}, "Sxx must be positive semidefinite, found eigenvalue -0.25"),
        ({"Syy": torch.diag(torch.tensor([1.0, -0.5]))}, "Syy must be positive semidefinite, found eigenvalue -0.5"),
        ({"Syx": torch.diag(torch.tensor([0.5, 1.5]))}, r"\|rho\| is too large.* found eigenvalue -0.5"),
    ],
)
def test_moments_that_no_pairs_have_are_refused(change, message):
    eye = torch.eye(2, dtype=torch.float64)
    parts = {"Sxx": eye, "Syx": 0.5 * eye, "Syy": eye}
    Moments(**parts).check()
    with pytest.raises(ValueError, match=message):
        Moments(**parts | {name: value.double() for name, value in change.items()}).check()
