"""Moments by blocks against all samples at once, and those of masks against masks that are drawn."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from datamodules import SourcePairs
from datamodules.noise import Distractor, White
from datamodules.pairings import Crops, Lag, Same
from datamodules.sources import Arrays
from study.forecast import moments
from study.forecast.moments import Blocks, union

NAMES = ("Sxx", "Syx", "Syy")


@pytest.fixture
def images(tmp_path):
    """A file of 400 images of 3 x 4 x 4 in two classes."""
    draw = np.random.default_rng(0)
    path = tmp_path / "images.npz"
    np.savez(path, x=draw.normal(size=(400, 3, 4, 4)).astype(np.float32), labels=np.arange(400) % 2)
    return path


@pytest.fixture
def series(tmp_path):
    path = tmp_path / "series.npy"
    np.save(path, np.cumsum(np.random.default_rng(0).normal(size=(4000, 2)), 0).astype(np.float32) / 50)
    return path


def ready(source, noise, pairing):
    data = SourcePairs(source, noise, pairing, count=1000)
    data.setup()
    return data


@pytest.mark.parametrize("pairing", [Same(), Same(flip=True), Crops(0.5)], ids=["same", "flip", "crops"])
@pytest.mark.parametrize("noise", [White(0.3), Distractor(directions=5)], ids=["white", "distractor"])
def test_all_blocks_together_are_the_moments_of_the_data(images, pairing, noise):
    data = ready(Arrays(images), noise, pairing)
    found, expected = Blocks.streamed(data).moments(), data.moments()[0]
    for name in NAMES:
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=1e-5, atol=1e-5)
    assert found.count >= 256  # 400 images less a fifth for tests and a fifth for validation


def test_blocks_of_a_recording_are_stretches_of_it(series):
    data = ready(Arrays(series, window=8, step=4), White(0.1), Lag(2))
    starts = [data._chosen["train"].rows[0][block] for block in data.blocks(5)]
    assert all(int(a.max()) < int(b.min()) for a, b in pairwise(starts))
    found, expected = Blocks.streamed(data, count=5).moments(), data.moments()[0]
    for name in NAMES:
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=1e-5, atol=1e-5)
    assert not torch.allclose(found.Syx, found.Syx.mT)


def test_the_union_of_blocks_is_that_of_numpy():
    x, y = (torch.randn(103, 6, generator=torch.Generator().manual_seed(i), dtype=torch.float64) for i in range(2))
    found = Blocks.of_pairs(x, y, 4).moments([1, 2])
    rows = slice(26, 78)
    np.testing.assert_allclose(found.Syx.numpy(), y.numpy()[rows].T @ x.numpy()[rows] / 52, rtol=1e-12)
    np.testing.assert_allclose(found.Sxx.numpy(), x.numpy()[rows].T @ x.numpy()[rows] / 52, rtol=1e-12)
    blocks = Blocks.of_pairs(x, y, 4)
    whole = union([blocks.moments([0, 2]), blocks.moments([1, 3])])
    np.testing.assert_allclose(whole.Syy.numpy(), y.numpy().T @ y.numpy() / 103, rtol=1e-12)


def test_sums_are_of_double_precision_where_samples_are_not():
    x = torch.full((3000, 2), 1000.1)
    found = moments.summed((part, part) for part in x.split(10))
    assert float(found.Sxx[0, 0]) == pytest.approx(float(x[0, 0].double()) ** 2, rel=1e-7)


def test_numbers_that_are_not_finite_are_refused():
    x = torch.ones(20, 3)
    x[7, 1] = torch.nan
    with pytest.raises(ValueError, match="not finite"):
        Blocks.of_pairs(x, x)
