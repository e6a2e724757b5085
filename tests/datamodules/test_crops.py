"""Crops are those of torchvision, for each row by its own number; pairs of them keep all that pairs promise."""

import pytest
import torch
from noisy import noisy
from torchvision.transforms.v2 import functional as reference

from datamodules.pairings import Crops
from datamodules.pairings.crops import cropped

SIZE = 8
SHAPE = [3, SIZE, SIZE]


def images(sets=2, count=400):
    return torch.randn(sets, count, 3 * SIZE**2, generator=torch.Generator().manual_seed(0))


def test_a_crop_of_everything_is_the_image_or_its_mirror_in_equal_parts():
    whole = images()
    found = cropped(whole, SHAPE, [1, 2], 1.0)
    mirrored = whole.unflatten(-1, (3, SIZE, SIZE)).flip(-1).flatten(-3)
    same, other = ((found - them).abs().amax(-1) < 1e-5 for them in (whole, mirrored))
    assert (same ^ other).all() and 0.4 < same.float().mean() < 0.6


def test_a_crop_is_torchvisions_resized_square():
    """Where it lies is read off an image of its own coordinates."""
    steps = (torch.arange(SIZE) + 0.5) / SIZE
    coordinates = torch.stack([steps.expand(SIZE, -1), steps[:, None].expand(-1, SIZE), torch.zeros(SIZE, SIZE)])
    content = images(1, 1)[0, 0].view(3, SIZE, SIZE)
    seen = []
    for key in range(60):
        where = cropped(coordinates.reshape(1, 1, -1), SHAPE, [key], 0.25).view(3, SIZE, SIZE)
        inner = where[:, 1:-1, 1:-1]  # bilinear and exact for what is linear, away from the border
        step = float(inner[0, 0, 1] - inner[0, 0, 0]) * SIZE
        side = abs(step)
        left = float(where[0, 3, 3]) - step * 3.5 / SIZE
        top = float(where[1, 3, 3]) - side * 3.5 / SIZE
        left = min(left, left + step)
        seen.append((side, left, top))
        grid = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), -1) * side + torch.tensor([left, top])
        expected = torch.nn.functional.grid_sample(
            content[None], (2 * grid - 1)[None].float(), padding_mode="border", align_corners=False
        )[0]
        expected = reference.horizontal_flip(expected) if step < 0 else expected
        found = cropped(content.reshape(1, 1, -1), SHAPE, [key], 0.25).view(3, SIZE, SIZE)
        torch.testing.assert_close(found, expected, rtol=0, atol=2e-3)
    sides, lefts, tops = torch.tensor(seen).T
    assert (sides > 0.499).all() and (sides < 1.001).all()
    assert (lefts > -1e-3).all() and (lefts + sides < 1.001).all() and (tops > -1e-3).all() and (tops + sides < 1.001).all()
    assert 0.5 < float(sides.square().mean()) < 0.75, "areas are uniform from 1/4 to 1"


def test_a_row_depends_on_its_own_number_alone():
    whole = images()
    together = cropped(whole, SHAPE, [1, 2], 0.5)
    torch.testing.assert_close(cropped(whole[:, 100:200], SHAPE, [1, 2], 0.5, 100), together[:, 100:200])
    torch.testing.assert_close(cropped(whole[1:], SHAPE, [2], 0.5), together[1:])


def pixels(**options):
    data = noisy(**{"size": SIZE, "count": 1500, "directions": 4, "amplitude": 1.0, "batch": 4000, "seeds": [3], **options})
    data.setup()
    return data


def test_views_are_cropped_each_by_itself_and_evaluation_sees_whole_images():
    plain, data = pixels(), pixels(crop=0.5)
    made, other = (d.pairs(0, torch.device("cpu")) for d in (data, plain))
    clean = [one.values - two.values for one, two in zip(made, other, strict=True)]
    assert not torch.allclose(clean[0], clean[1], atol=0.5)
    for a, b in zip(
        data.evaluation("test", 0, 0, 50, torch.device("cpu")),
        plain.evaluation("test", 0, 0, 50, torch.device("cpu")),
        strict=True,
    ):
        assert torch.equal(a, b)


def test_moments_are_those_of_the_pairs():
    data = pixels(crop=0.5)
    (exact,) = data.moments()
    x, y = (torch.cat([data.pairs(u, torch.device("cpu"))[v].values[0] for u in range(8)]).double() for v in range(2))
    for found, expected in ((x.T @ x / len(x), exact.Sxx), (y.T @ x / len(x), exact.Syx), (y.T @ y / len(y), exact.Syy)):
        assert float((found - expected).norm() / expected.norm()) < 0.06


def test_processes_share_the_cropped_batch():
    data = pixels(crop=0.7, batch=8)
    whole = data.pairs(5, torch.device("cpu"))
    shares = [data.pairs(5, torch.device("cpu"), rank, 2) for rank in range(2)]
    for v in range(2):
        torch.testing.assert_close(torch.cat([s[v].values for s in shares], 1), whole[v].values, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("smallest", "shape", "says"),
    [(0.0, [3, 8, 8], r"smallest must lie in \(0, 1\], found 0.0"), (0.5, [48], "needs images of channels, rows and columns")],
)
def test_impossible_crops_are_refused(smallest, shape, says):
    with pytest.raises(ValueError, match=says):
        Crops(smallest).attach(shape)
