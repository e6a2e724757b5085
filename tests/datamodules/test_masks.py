"""Masks that are drawn against those of the moments, and pairs of them."""

import numpy as np
import pytest
import torch

from datamodules import GaussianPairs, Mask, Moments, SourcePairs
from datamodules.masks import patches
from datamodules.noise import Distractor
from datamodules.pairings.pairing import MOMENTS
from datamodules.sources import Builtin


def attached(shape, patch, ratio):
    mask = Mask(patch, ratio)
    mask.attach(shape)
    return mask


@pytest.mark.parametrize("ratio", [0.25, 0.5, 0.75])
@pytest.mark.parametrize(("shape", "side"), [([2, 4, 4], 2), ([3, 12], 3), ([8], 2)])
def test_moments_are_those_of_masks_that_are_drawn_elsewhere(shape, side, ratio):
    d = int(np.prod(shape))
    data = GaussianPairs(np.linspace(1, 2, d).tolist(), np.linspace(0.3, 0.9, d).tolist(), basis="rotated")
    full, mask = data.moments()[0], attached(shape, side, ratio)
    draws = torch.rand(20_000, mask.patches, generator=torch.Generator().manual_seed(0)).argsort(1).argsort(1) >= mask.hidden
    m = draws[:, patches(shape, side)].double()
    found = mask.moments(full)
    for name, (a, b) in {"Sxx": (m, m), "Syx": (1 - m, m), "Syy": (1 - m, 1 - m)}.items():
        expected = getattr(full, name) * (a.T @ b / len(m))
        torch.testing.assert_close(getattr(found, name), expected, rtol=0, atol=0.03)
    found.check()


@pytest.mark.parametrize("ratio", [0.25, 0.5, 0.75])
def test_every_patch_is_hidden_as_often_as_any_other_and_so_is_every_two(ratio):
    mask, n = attached([1, 6, 6], 2, ratio), 20_000
    hidden = mask.drawn([3], 0, n)[0, :, [0, 2, 4, 12, 14, 16, 24, 26, 28]].double()  # a pixel of each patch
    assert bool((hidden.sum(1) == mask.hidden).all())
    together, h = hidden.T @ hidden / n, mask.hidden
    expected = torch.full((9, 9), h * (h - 1) / 72).double().fill_diagonal_(h / 9)
    torch.testing.assert_close(together, expected, rtol=0, atol=0.015)


def test_a_mask_follows_from_seed_update_and_row_alone():
    mask = attached([3, 8, 8], 4, 0.5)
    together = mask.drawn([1, 2], 7, 40)
    assert torch.equal(together[1:], mask.drawn([2], 7, 40))
    assert torch.equal(together[:, 25:], mask.drawn([1, 2], 7, 15, 25))
    assert not torch.equal(together, mask.drawn([1, 2], 8, 40)) and not torch.equal(together[0], together[1])


def masked(ratio=0.5, **options):
    noise = Distractor(directions=4, amplitude=2.0, gamma=0.4, sigma=0.3)
    data = SourcePairs(Builtin(8), noise, mask=Mask(4, ratio), count=3000, **options)
    data.setup()
    return data


def test_x_shows_what_y_hides_of_the_noisy_views():
    data, whole = masked(seeds=[0, 5], batch=64), masked(seeds=[0, 5], batch=64)
    whole.mask = None
    (x, y), (full_x, full_y) = ([view.values for view in of.pairs(3, torch.device("cpu"))] for of in (data, whole))
    hidden = data.mask.drawn([0, 5], 3, 64)
    assert torch.equal(x, full_x * ~hidden) and torch.equal(y, full_y * hidden)
    shown = (x.view(-1, 3, 2, 4, 2, 4) != 0).any(5).any(3).any(1)
    assert bool((shown.sum((1, 2)) == 2).all())


def test_views_for_evaluation_are_whole():
    data = masked()
    x, y = data.evaluation("test", 0, 0, 20, torch.device("cpu"))
    assert bool((x != 0).all()) and bool((y != 0).all())
    assert data.directions() == {}  # what is masked enters by parts
    assert data.coordinates("test", 0, 0, 20, torch.device("cpu"))["distractor"].shape == (20, 4)


@pytest.mark.parametrize("ratio", [0.25, 0.5, 0.75])
def test_the_moments_of_masked_pairs_are_those_of_what_is_drawn(ratio):
    data = masked(ratio)
    clean = torch.cat([x for x, _ in data.parts()])
    drawn = []
    for update in range(60):
        x, y = data.noise.views(clean[None], clean[None], MOMENTS - update, 0)
        drawn.append(Moments.of(*(of[0] for of in data.mask.views(x, y, [0], MOMENTS - update))))
    for name in ("Sxx", "Syx", "Syy"):
        found, expected = torch.stack([getattr(of, name) for of in drawn]).mean(0), getattr(data.moments()[0], name)
        assert float((found - expected).norm() / expected.norm()) < 0.03, name
    (products,) = data.products()
    v = torch.randn(192, 3, dtype=torch.float64)
    torch.testing.assert_close(products.products(v)[0], data.moments()[0].Syx @ v)


def test_patches_of_an_image_are_its_squares():
    number = patches([2, 4, 6], 2).view(2, 4, 6)
    assert torch.equal(number[0], number[1])
    assert number[0].tolist() == [[0, 0, 1, 1, 2, 2]] * 2 + [[3, 3, 4, 4, 5, 5]] * 2


@pytest.mark.parametrize("ratio", [0.0, 1.0, 0.01])
def test_a_mask_of_nothing_or_all_is_refused(ratio):
    with pytest.raises(ValueError, match="at least one hidden and one visible"):
        attached([1, 4, 4], 2, ratio)


@pytest.mark.parametrize(("shape", "side"), [([3, 4, 4], 3), ([3, 4, 4], 4), ([7], 2), ([4], 0)])
def test_patches_that_do_not_divide_a_sample_are_refused(shape, side):
    with pytest.raises(ValueError, match="give a divisor"):
        attached(shape, side, 0.5)
