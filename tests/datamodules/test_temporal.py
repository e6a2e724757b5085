"""The temporal and static models: samples have the exact moments, features are the closed form's."""

import numpy as np
import pytest
import torch

from datamodules import TemporalPairs
from study.theory import generative

PARTS = {"signal": [1.0, 0.6, 0.3], "gamma": [1.0, 0.8, 0.5], "noise": [0.2, 0.1, 0.4]}


@pytest.mark.parametrize("basis", ["diagonal", "rotated", "noncommuting"])
def test_samples_have_the_exact_moments(basis):
    data = TemporalPairs(**PARTS, basis=basis, samples=200_000, seeds=[0, 1])
    for sampled, whole in zip(data.moments(), data.exact(), strict=True):
        whole.check()
        for name in ("Sxx", "Syx", "Syy"):
            torch.testing.assert_close(getattr(sampled, name), getattr(whole, name), rtol=0, atol=0.015)


@pytest.mark.parametrize("basis", ["diagonal", "rotated"])
def test_features_are_those_of_the_closed_form_and_of_the_moments(basis):
    data = TemporalPairs(**PARTS, basis=basis)
    (features,), (moments,) = data.features(), data.exact()
    lam, rho = generative.temporal(**PARTS)
    np.testing.assert_allclose(features.lam, lam)
    np.testing.assert_allclose(features.rho, rho)
    solved = moments.features()
    np.testing.assert_allclose(solved.lam, np.sort(lam)[::-1])
    np.testing.assert_allclose(solved.rho, rho[np.argsort(-lam)])
    for v, r in zip(features.directions.T, features.rho, strict=True):
        torch.testing.assert_close(moments.Syx @ v, r * moments.Sxx @ v)


def test_static_is_gamma_one():
    for made, expected in zip(generative.static([1.0, 2.0], [0.5, 2.0]), ([1.0, 2.0], [1 / 1.5, 0.5]), strict=True):
        np.testing.assert_allclose(made, expected)


def test_noncommuting_moments_do_not_commute():
    (m,) = TemporalPairs(**PARTS, basis="noncommuting").exact()
    assert (m.Sxx @ m.Syx - m.Syx @ m.Sxx).abs().max() > 0.01


def test_data_sets_have_their_own_rotation_and_samples():
    together = TemporalPairs(**PARTS, basis="rotated", samples=50, seeds=[3, 4]).moments()
    for seed, moments in zip([3, 4], together, strict=True):
        (alone,) = TemporalPairs(**PARTS, basis="rotated", samples=50, seeds=[seed]).moments()
        torch.testing.assert_close(alone.Sxx, moments.Sxx, rtol=1e-12, atol=1e-14)
    assert (together[0].Sxx - together[1].Sxx).abs().max() > 0.01


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gamma": [1.0, 1.2, 0.5]}, "gamma must be in"),
        ({"signal": [1.0, 0.0, 0.5]}, "signal must be positive"),
        ({"noise": [1.0, 0.5]}, "one shape"),
        ({"samples": 0}, "samples must be at least 1"),
        ({"seeds": []}, "one list per seed"),
    ],
)
def test_impossible_models_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        TemporalPairs(**PARTS | change)
