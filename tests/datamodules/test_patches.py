"""Patches of pictures, and which of them are neighbours."""

import numpy as np
import pytest
import torch

from datamodules import SourcePairs
from datamodules.noise import White
from datamodules.pairings import Neighbours
from datamodules.sources import Arrays, Patches


@pytest.fixture
def pictures(tmp_path):
    """Of 7 x 9 pixels, of which 2 x 3 patches of 3 are cut."""
    x = np.random.default_rng(0).integers(0, 256, (50, 2, 7, 9), dtype=np.uint8)
    np.savez(tmp_path / "x.npz", x=x, labels=np.arange(50) % 2)
    return x, Arrays(tmp_path / "x.npz")


def test_patches_are_those_that_are_cut(pictures):
    x, source = pictures
    patches = Patches(source, 3)
    assert patches.shape == [2, 3, 3] and patches.grid == (2, 3)
    split = patches.load()["train"]
    whole = source.load()["train"]
    number = whole.rows if whole.rows is not None else torch.arange(whole.count)
    expected = np.stack(
        [x[n, :, i : i + 3, j : j + 3] for n in number.tolist() for i in (0, 3) for j in (0, 3, 6)]
    )  # row by row
    np.testing.assert_array_equal(split.values[split.rows].numpy(), expected)
    assert torch.equal(split.labels, whole.labels.repeat_interleave(6))


def test_neighbours_share_an_edge_and_a_picture(pictures):
    split = Patches(pictures[1], 3).load()["train"]
    x, y = Neighbours((2, 3), each=100).rows(split)
    assert torch.equal(split.groups[x], split.groups[y])
    assert len(x) == (2 * 2 + 3) * split.count // 6
    places = {(int(a) % 6, int(b) % 6) for a, b in zip(x, y, strict=True)}
    assert places == {(0, 1), (1, 2), (3, 4), (4, 5), (0, 3), (1, 4), (2, 5)}
    few = Neighbours((2, 3), each=2).rows(split)
    assert few.shape[1] == 2 * split.count // 6 and len({tuple(pair) for pair in few.T.tolist()}) == few.shape[1]


def test_no_picture_has_patches_in_two_splits(pictures):
    patches = Patches(pictures[1], 3)
    data = SourcePairs(patches, White(0.1), Neighbours(patches.grid))
    data.setup()
    of = {name: set(chosen.values[chosen.rows[0]].flatten(1).sum(1).tolist()) for name, chosen in data._chosen.items()}
    assert all(of.values())
    starts = {name: {int(row) // (2 * 7 * 9) for row in chosen.rows[0]} for name, chosen in data._chosen.items()}
    assert not starts["train"] & starts["validation"] and not starts["train"] & starts["test"]


@pytest.mark.parametrize("side", [0, 6, 8])
def test_pictures_without_two_patches_are_refused(pictures, side):
    with pytest.raises(ValueError, match="do not hold two patches"):
        Patches(pictures[1], side)
