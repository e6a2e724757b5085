"""The forecast over updates against training itself, and against the end state that it tends to."""

from functools import partial

import pytest
import torch
from noisy import noisy

from datamodules import GaussianPairs, Mask, Moments
from study.forecast import timed
from study.forecast.end_state import Whitened, share
from study.forecast.minibatches import Minibatches
from study.forecast.moments import Blocks
from study.forecast.probe import ProbeForecast
from study.forecast.timed import Training

LAM, RHO = [1.0, 3.0, 0.5, 2.0, 0.8, 1.5], [0.9, 0.33, 0.8, 0.5, 0.6, 0.2]
QUICK = Training(depth=2, eps=0.3, momentum=0.0, rates=(0.05, 0.02), updates=4000, batch=None)


def gaussian():
    return GaussianPairs(LAM, RHO, basis="rotated")


def stacked(moments):
    return {name: getattr(moments, name)[None] for name in ("Sxx", "Syx", "Syy")}


@pytest.mark.parametrize("objective", ["jepa", "mae"])
def test_the_curve_is_that_of_training_on_exact_moments(objective):
    moments = gaussian().moments()[0]
    looks = dict(timed.trajectory(QUICK.learner(objective, QUICK.encoder(6, 3)), moments, [0, 3, 10]))
    learner = QUICK.learner(objective, QUICK.encoder(6, 3))
    optimizer = learner.configure_optimizers(10)
    for update in range(10):
        learner.advance([stacked(moments)], optimizer)
        if update == 2:
            W = (learner.encoder.layers[1] @ learner.encoder.layers[0]).detach().double()
            torch.testing.assert_close(looks[3], W, rtol=1e-5, atol=1e-6)
    W = (learner.encoder.layers[1] @ learner.encoder.layers[0]).detach().double()
    torch.testing.assert_close(looks[10], W, rtol=1e-5, atol=1e-6)
    assert looks[0].shape == (2, 3, 6)


@pytest.mark.parametrize("objective", ["jepa", "mae"])
def test_long_training_reaches_the_end_state(objective):
    moments = Whitened(gaussian().moments()[0])
    end = getattr(moments, objective)(2, 2)
    D = torch.eye(6)[:, :1]
    of_distractor = partial(share, Sxx=moments.moments.Sxx, D=D, amplitude=1.0)
    curve = timed.forecast(objective, moments.moments, end, QUICK, of_distractor=of_distractor)
    assert curve.points[0].reached < 0.9 < 0.999 < curve.last.reached
    assert curve.last.share == pytest.approx(of_distractor(end.encoder), rel=0.02)
    assert curve.rate == 0.05  # the largest, without labels


@pytest.mark.parametrize("objective", ["jepa", "mae"])
def test_more_inputs_than_fit_are_trained_in_a_subspace(objective, monkeypatch):
    """60 inputs, of which 50 hardly vary; with the 12 strongest and the rows of the initial weights all of it is there."""
    lam, rho = torch.linspace(3, 1, 60), torch.linspace(0.9, 0.3, 60)
    lam[10:] *= 1e-3
    moments = GaussianPairs(lam.tolist(), rho.tolist(), basis="rotated").moments()[0]
    training = Training(depth=2, eps=0.2, rates=(3e-3,), updates=200)
    (_, full), *_ = timed.trajectory(training.learner(objective, training.encoder(60, 4)), moments, [200])
    monkeypatch.setattr(timed, "LARGEST", 16)
    (_, found), *_ = timed.trajectory(training.learner(objective, training.encoder(60, 4)), moments, [200])
    assert float((found - full).norm() / full.norm()) < 0.01
    (_, first), *_ = timed.trajectory(training.learner(objective, training.encoder(60, 4)), moments, [0])
    start = training.learner(objective, training.encoder(60, 4)).encoder.layers
    torch.testing.assert_close(first, (start[1] @ start[0]).detach().double(), rtol=1e-5, atol=1e-6)


def test_a_rate_that_diverges_is_not_taken():
    moments = Whitened(gaussian().moments()[0])
    end = moments.mae(2, 2)
    wild = Training(depth=2, eps=0.3, momentum=0.0, rates=(0.02, 10.0), updates=200, batch=None)
    assert timed.forecast("mae", moments.moments, end, wild).rate == 0.02
    with pytest.raises(ArithmeticError, match="mae diverges at every rate of 10"):
        timed.forecast("mae", moments.moments, end, Training(depth=2, momentum=0.0, rates=(10.0,), updates=200, batch=None))


def test_at_high_gamma_a_finite_training_is_far_from_the_end_state():
    """What the end state alone would mislead about: at rho .95 against 1 JEPA still holds the distractor."""
    data = noisy(size=8, count=3000, directions=20, gamma=0.95, amplitude=10.0)
    data.setup()
    moments = Whitened(Blocks.streamed(data).moments())
    end = moments.jepa(16, 3)
    probe = ProbeForecast(data, counts={"train": 1500, "validation": 400, "test": 800}, labels=[])
    D, A = data.directions()["distractor"]
    short = Training(rates=(3e-5, 1e-4), updates=300)
    of_distractor = partial(share, Sxx=moments.moments.Sxx, D=D[0], amplitude=A)
    curve = timed.forecast("jepa", moments.moments, end, short, probe, of_distractor)
    assert of_distractor(end.encoder) < 0.05 < 0.8 < curve.last.share
    assert [p.update for p in curve.points] == short.points()
    assert all(len(p.probes) == 1 for p in curve.points)
    assert probe.of({"end": end.encoder})[0].accuracy > curve.last.probes[0].accuracy + 0.05
    best = torch.stack(
        [
            probe.validation(W)
            for _, W in timed.trajectory(short.learner("jepa", short.encoder(192, 16)), moments.moments, [300])
        ]
    )
    assert float(best.max()) == pytest.approx(curve.last.probes[0].validation, abs=3e-3)


def test_points_go_up_to_the_end():
    assert Training(updates=1200).points(3) == [0, 150, 300, 600, 1200]
    assert Training(updates=1).points() == [0, 1]


def test_moments_that_are_symmetric_or_not_are_trained_as_they_are():
    moments = gaussian().moments()[0]
    skewed = Moments(moments.Sxx, moments.Syx + 0.05 * torch.triu(torch.ones(6, 6), 1).double(), moments.Syy)
    (_, one), *_ = timed.trajectory(QUICK.learner("jepa", QUICK.encoder(6, 3)), moments, [50])
    (_, other), *_ = timed.trajectory(QUICK.learner("jepa", QUICK.encoder(6, 3)), skewed, [50])
    assert not torch.allclose(one, other, rtol=1e-3)


def test_gaussian_pairs_have_the_moments():
    moments = GaussianPairs(LAM, RHO, basis="rotated").moments()[0]
    batches = Minibatches(moments, 5000, 0, torch.float64)
    x, y = (torch.cat([batches.pairs(u)[side].values[0] for u in range(20)]) for side in range(2))
    for name, found in (("Sxx", x.T @ x), ("Syx", y.T @ x), ("Syy", y.T @ y)):
        torch.testing.assert_close(found / len(x), getattr(moments, name), rtol=0, atol=0.15)
    assert not torch.equal(batches.pairs(0).x.values, batches.pairs(1).x.values)
    assert torch.equal(batches.pairs(0).x.values, Minibatches(moments, 5000, 0, torch.float64).pairs(0).x.values)


@pytest.mark.parametrize("objective", ["jepa", "mae"])
def test_large_minibatches_and_small_rates_are_exact_moments(objective):
    moments = gaussian().moments()[0]
    training = Training(depth=2, eps=0.3, momentum=0.0, rates=(1e-3,), updates=500)
    (_, exact), *_ = timed.trajectory(training.learner(objective, training.encoder(6, 3)), moments, [500])
    (_, found), *_ = timed.trajectory(training.learner(objective, training.encoder(6, 3)), moments, [500], 2000)
    assert 0 < float((found - exact).norm() / exact.norm()) < 0.02


def test_minibatches_do_not_stand_the_rates_that_exact_moments_stand():
    """200 strong directions, 8 pairs: |x|^2 is 200 times the largest eigenvalue."""
    moments = Moments(*(scale * torch.eye(200).double() for scale in (1.0, 0.5, 1.0)))
    steep = Training(depth=1, eps=0.5, momentum=0.0, rates=(1.0,))
    learners = [steep.learner("mae", steep.encoder(200, 4)) for _ in range(2)]
    for learner, batch in zip(learners, (None, 8), strict=True):
        list(timed.trajectory(learner, moments, [100], batch))
    assert bool(learners[0].finite().all()) and not bool(learners[1].finite().any())


def test_inputs_that_never_vary_change_nothing():
    small = gaussian().moments()[0]
    wide = Moments(*(torch.nn.functional.pad(getattr(small, name), (0, 2, 0, 2)) for name in ("Sxx", "Syx", "Syy")))
    end = Whitened(wide).jepa(2, 2)
    curve = timed.forecast("jepa", wide, end, QUICK, at=[0, 4000])
    assert curve.points[0].reached < 0.9 < 0.99 < curve.last.reached


@pytest.mark.parametrize("objective", ["jepa", "mae"])
@pytest.mark.parametrize(("scale", "larger"), [(1e-2, 1), (1.0, 1), (1e3, 1), (1.0, 2)])
def test_suited_rates_train_samples_of_any_size_and_targets_that_are_larger(scale, larger, objective):
    """Where y is larger than x, gains grow beyond 1."""
    moments = gaussian().moments()[0]
    Sxx, Syx, Syy = (scale * getattr(moments, name) for name in ("Sxx", "Syx", "Syy"))
    moments = Moments(Sxx, larger * Syx, larger**2 * Syy)
    end = getattr(Whitened(moments), objective)(2, 3)
    training = timed.suited(objective, moments, end, Training(depth=3, eps=0.5, rates=(), updates=600))
    curve = timed.forecast(objective, moments, end, training)
    assert curve.rate >= training.rates[1] and curve.last.reached > curve.points[0].reached


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("seed", [None, 0, 1, 2])
def test_of_masked_pairs_a_predictor_that_starts_at_random_learns_which_patches_are_shown(depth, seed):
    """Numbers that are alike in 4 patches, of which x shows 2: their mean has rho near 1, and the contrasts of patches, which say
    what is shown and nothing of a sample, rho near -1. A predictor that starts as a multiple of the identity forgets these."""
    mask = Mask(patch=2, ratio=0.5)
    mask.attach([8])
    S = torch.ones(8, 8).double() + 0.05 * torch.eye(8).double()
    moments = mask.moments(Moments(S, S, S))
    features = moments.features()
    order = features.rho.argsort()
    assert bool((features.rho[order[:3]] < -0.95).all()) and float(features.rho[order[-1]]) > 0.95
    contrasts = torch.linalg.qr(features.directions[:, order[:3]])[0]
    training = Training(depth=depth, eps=0.3, momentum=0.0, rates=(0.05,), batch=None)
    learner = training.learner("jepa", training.encoder(8, 4))
    if seed is not None:
        draw = torch.randn(1, 4, 4, generator=torch.Generator().manual_seed(seed))
        learner.predictor.weight = torch.nn.Parameter(draw.to(learner.predictor.weight) / 2)
    (first, last) = (
        float(torch.linalg.svdvals(W[0] @ contrasts)[0]) for _, W in timed.trajectory(learner, moments, [0, 20_000])
    )
    assert last < 0.01 < 0.29 < first if seed is None else last > 0.6
