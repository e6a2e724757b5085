"""Pairings alone: which samples they pair, and that a pair depends on its seed, update and row and on nothing else."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from datamodules import Moments
from datamodules.noise import White
from datamodules.pairings import Crops, Lag, Same
from datamodules.splits import Split

SHAPE = [3, 6, 4]
KINDS = {"same": Same, "flip": lambda: Same(flip=True), "crops": lambda: Crops(0.5), "lag": Lag}


def samples(rows, sets=2):
    return torch.randn(2, sets, rows, 72, generator=torch.Generator().manual_seed(0))


def attached(kind):
    made = KINDS[kind]()
    made.attach(SHAPE)
    return made


@pytest.mark.parametrize("kind", KINDS)
def test_a_pair_is_a_function_of_seed_update_and_row(kind):
    pairing, (x, y) = attached(kind), samples(20)
    whole = pairing.pair(x, y, [1, 2], 5)
    for view, part in zip(whole, pairing.pair(x[:, 8:], y[:, 8:], [1, 2], 5, 8), strict=True):
        torch.testing.assert_close(part.values, view.values[:, 8:])
    for view, alone in zip(whole, pairing.pair(x[1:], y[1:], [2], 5), strict=True):
        torch.testing.assert_close(alone.values, view.values[1:])
    other = pairing.pair(x, y, [1, 2], 6)
    assert torch.equal(other.x.values, whole.x.values) == (kind in ("same", "lag"))
    assert torch.equal(x, samples(20)[0]) and whole.x.keep is None


def test_same_shows_one_sample_twice_and_flips_it_in_both_views():
    x, _ = samples(400)
    pair = attached("same").pair(x, x, [1, 2], 0)
    assert torch.equal(pair.x.values, x) and torch.equal(pair.y.values, x)
    flipped = attached("flip").pair(x, x, [1, 2], 0)
    mirrored = x.unflatten(-1, SHAPE).flip(-1).flatten(-3)
    kept, turned = ((flipped.x.values == them).all(-1) for them in (x, mirrored))
    assert (kept ^ turned).all() and 0.4 < turned.float().mean() < 0.6
    assert torch.equal(flipped.x.values, flipped.y.values)


@pytest.mark.parametrize("kind", KINDS)
def test_moments_are_those_of_many_pairs(kind):
    pairing, (x, y) = attached(kind), samples(500, sets=1).double().float()
    if kind != "lag":
        y = x
    exact = pairing.moments(iter([(x[0, :200], y[0, :200]), (x[0, 200:], y[0, 200:])]), 3)
    pairs = [pairing.pair(x, y, [3], update) for update in range(20)]
    found = Moments.stream((p.x.values[0], p.y.values[0]) for p in pairs)
    for name in ("Sxx", "Syx", "Syy"):
        assert float((getattr(found, name) - getattr(exact, name)).norm() / exact.Sxx.norm()) < 0.3
    if kind in ("same", "lag"):
        torch.testing.assert_close(found.Syx, exact.Syx)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=40), st.integers(1, 6))
def test_a_lag_pairs_each_sample_with_the_one_that_comes_so_many_later_in_its_group(groups, steps):
    split = Split(torch.zeros(len(groups), 1), groups=torch.tensor(groups))
    expected = {
        (of[i], of[i + steps])
        for group in set(groups)
        for of in [[row for row, g in enumerate(groups) if g == group]]
        for i in range(len(of) - steps)
    }
    if not expected:
        with pytest.raises(ValueError, match=f"a lag of {steps} samples .* is too long"):
            Lag(steps).rows(split)
        return
    rows = Lag(steps).rows(split)
    assert len(rows) == 2 and rows.shape[1] == len(expected) and set(map(tuple, rows.T.tolist())) == expected


def test_without_noise_views_are_the_samples():
    noise = White(0.0)
    noise.attach(SHAPE, [1, 2])
    x, y = samples(10)
    assert all(torch.equal(a, b) for a, b in zip(noise.views(x, y, 3), (x, y), strict=True))
    moments = Moments.of(x[0], y[0])
    assert all(torch.equal(found.Sxx, moments.Sxx) and torch.equal(found.Syx, moments.Syx) for found in noise.moments(moments))


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: Lag(0), "steps must be at least 1, found 0"),
        (lambda: Same(flip=True).attach([48]), "flip needs images of channels, rows and columns, found samples of shape .48."),
        (lambda: White(float("nan")), "sigma must be finite and not negative, found nan"),
    ],
)
def test_impossible_pairings_and_noise_are_refused(act, message):
    with pytest.raises(ValueError, match=message):
        act()
