"""Random crops and flips of images, made on the device for a whole batch at once."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from datamodules import random

NUMBERS = 4  # random numbers that a crop takes


def cropped(
    images: Float[Tensor, "S B d"], size: int, keys: list[int], smallest: float, first: int = 0
) -> Float[Tensor, "S B d"]:
    """A square of each image of size x size pixels, resized to size x size (bilinear): its area is uniform in [smallest, 1] of the
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
    grid = functional.affine_grid(maps, [S * B, 3, size, size], align_corners=False)
    stacked = images.reshape(S * B, 3, size, size)
    return functional.grid_sample(stacked, grid, padding_mode="border", align_corners=False).view(S, B, d)
