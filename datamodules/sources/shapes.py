"""Built-in images: ten shapes on coloured clouds, 32 x 32 x 3, made in seconds and needing no download.

The class is the shape alone. Position, size, colours and clouds are drawn independently of it, and each shape is
added with zero spatial mean, so the mean colour tells nothing about the class. The same seed gives the same bytes on
every machine: only integer arithmetic, exact integer sums and IEEE-exact operations (+ - * / sqrt) are used, never a
floating-point reduction, whose order depends on the processor.
"""

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from datamodules import random

SIDE = 32
CLASSES = ("disk", "ring", "square", "frame", "triangle", "plus", "cross", "rows", "columns", "corners")


def _inside(label: int, dx: Tensor, dy: Tensor) -> Tensor:
    """How deep each pixel lies in shape `label`, in units of the shape's radius; negative outside."""
    ax, ay = dx.abs(), dy.abs()
    distance, box = (dx * dx + dy * dy).sqrt(), torch.maximum(ax, ay)
    match CLASSES[label]:
        case "disk":
            return 1 - distance
        case "ring":
            return 0.25 - (distance - 0.75).abs()
        case "square":
            return 0.85 - box
        case "frame":
            return 0.2 - (box - 0.8).abs()
        case "triangle":
            return torch.minimum(0.8 - dy, (0.5 * dy + 0.5 - ax) * 0.9)
        case "plus":
            return torch.minimum(0.3 - torch.minimum(ax, ay), 1 - box)
        case "cross":
            return torch.minimum(0.3 - torch.minimum((dx + dy).abs(), (dx - dy).abs()) * 0.7, 1 - box)
        case "rows":
            return torch.minimum(0.22 - torch.minimum(ay, (ay - 0.75).abs()), 0.95 - ax)
        case "columns":
            return torch.minimum(0.22 - torch.minimum(ax, (ax - 0.75).abs()), 0.95 - ay)
        case _:
            return 0.35 - torch.maximum((ax - 0.65).abs(), (ay - 0.65).abs())


def _cloud(values: Float[Tensor, "n channels points"], knots: int) -> Float[Tensor, "n channels side side"]:
    """Bilinear interpolation of a knots x knots grid to the image, written out so that it rounds alike everywhere."""
    grid = values.unflatten(-1, (knots, knots))
    position = torch.arange(SIDE) * (knots - 1)
    low, fraction = position // SIDE, (position % SIDE).float() / SIDE
    rows = grid[..., low, :] * (1 - fraction)[:, None] + grid[..., low + 1, :] * fraction[:, None]
    return rows.index_select(-1, low) * (1 - fraction) + rows.index_select(-1, low + 1) * fraction


def shapes(count: int, seed: int = 0, first: int = 0) -> tuple[UInt8[Tensor, "n 3 32 32"], Int[Tensor, "n"]]:
    """Images number `first` to `first + count` of the endless set `seed`, with labels (image i has class i mod 10)."""
    numbers = torch.arange(first, first + count)
    images = [_images(len(block), seed, int(block[0])) for block in numbers.split(512)]  # blocks that stay in cache
    return torch.cat(images), numbers % len(CLASSES)


def _images(count: int, seed: int, first: int) -> UInt8[Tensor, "n 3 32 32"]:
    coarse, fine = 4, 8
    u = random.uniform([random.key(seed)], count, 6 + 3 * (2 + coarse**2 + fine**2), first)[0]
    where, colour = u[:, :6, None, None], u[:, 6:12].view(count, 2, 3, 1, 1) * 2 - 1
    clouds = u[:, 12:].view(count, 3, -1) * 2 - 1
    pixel = torch.arange(SIDE).float()
    radius = 7 + 5 * where[:, 0]
    dx = (pixel - (12 + 7 * where[:, 1])) / radius
    dy = (pixel[:, None] - (12 + 7 * where[:, 2])) / radius
    labels = torch.arange(first, first + count) % len(CLASSES)
    depth = torch.empty(count, SIDE, SIDE)
    for label in range(len(CLASSES)):
        chosen = labels == label
        depth[chosen] = _inside(label, dx[chosen], dy[chosen])
    mask = (depth * radius * 256 + 128).clamp(0, 256).to(torch.int32)  # soft edge, one pixel wide, in 1/256
    centred = (mask - mask.sum((1, 2), keepdim=True) // SIDE**2).float()[:, None] / 256
    background = 128 + 30 * colour[:, 0] + 42 * _cloud(clouds[..., : coarse**2], coarse)
    background = background + 18 * _cloud(clouds[..., coarse**2 :], fine)
    strength = 40 + 30 * where[:, 3:4] + 20 * colour[:, 1]
    return (background + strength * centred).clamp(0, 255).to(torch.uint8)
