"""Two random crops of one image, made on the device for a whole batch at once."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from datamodules import random
from datamodules.pairings.pairing import Pairing, check_images
from datamodules.streams import CROPS_X, CROPS_Y
from datamodules.views import Pair, View

NUMBERS = 4  # random numbers that a crop takes


class Crops(Pairing):
    """Each view by itself is cropped in training, and flipped at random (`cropped`). Views for evaluation are whole. Moments are of one
    pair of crops of each sample.

    Args:
        smallest: smallest area of a crop, as a share of the image's, in (0, 1].

    Raises:
        ValueError: an impossible share.
    """

    symmetric = True

    def __init__(self, smallest: float = 0.7) -> None:
        if not 0 < smallest <= 1:
            raise ValueError(f"smallest must lie in (0, 1], found {smallest}")
        self.smallest = smallest

    def attach(self, shape: list[int]) -> None:
        super().attach(shape)
        check_images("a crop", shape)

    def pair(self, x: Float[Tensor, "S B d"], y: Float[Tensor, "S B d"], seeds: list[int], update: int, first: int = 0) -> Pair:
        views = (
            cropped(values, self.shape, [random.key(s, stream, update) for s in seeds], self.smallest, first)
            for values, stream in ((x, CROPS_X), (y, CROPS_Y))
        )
        return Pair(*map(View, views))


def cropped(
    images: Float[Tensor, "S B d"], shape: list[int], keys: list[int], smallest: float, first: int = 0
) -> Float[Tensor, "S B d"]:
    """A part of each image of the same aspect, resized to the image's size (bilinear): its area is uniform in [smallest, 1] of the
    image's, its place uniform, and half of them are flipped left to right (Szegedy et al. 2015, without its change of aspect).
    Row b of data set s follows from keys[s] and the number first + b."""
    S, B, d = images.shape
    u = random.uniform(keys, B, NUMBERS, first, images.device).flatten(0, 1)
    side = (smallest + (1 - smallest) * u[:, 0]).sqrt()
    across, down = ((1 - side) * (2 * u[:, i] - 1) for i in (1, 2))
    mirror = torch.where(u[:, 3] < 0.5, -side, side)
    zero = torch.zeros_like(side)
    # From places in the crop to places in the image, both from -1 to 1.
    maps = torch.stack([torch.stack([mirror, zero, across], -1), torch.stack([zero, side, down], -1)], 1)
    grid = functional.affine_grid(maps, [S * B, *shape], align_corners=False)
    stacked = images.reshape(S * B, *shape)
    return functional.grid_sample(stacked, grid, padding_mode="border", align_corners=False).view(S, B, d)
