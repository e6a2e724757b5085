"""Two patches of one picture, side by side."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from datamodules import random
from datamodules.pairings.pairing import Pairing
from datamodules.splits import Split
from datamodules.views import Pair, View

CHOICE = random.key(0)


class Neighbours(Pairing):
    """x and y are patches that share an edge: y is right of x, or below it. As either could be x, moments are symmetric.

    Args:
        grid: rows and columns of patches of each picture (datamodules.sources.patches).
        each: pairs of a picture at most, chosen at random: all of them say little more, as they are alike.

    Raises:
        ValueError: no two patches, or no pair.
    """

    symmetric = True

    def __init__(self, grid: tuple[int, int], each: int = 32) -> None:
        if each < 1:
            raise ValueError(f"each must be at least 1 pair, found {each}")
        if min(grid) < 1 or max(grid) < 2:
            raise ValueError(f"neighbours need a grid of two patches or more, found {grid[0]} x {grid[1]}")
        self.grid, self.each = grid, each

    def rows(self, split: Split) -> Int[Tensor, "v m"]:
        down, across = self.grid
        assert split.count % (down * across) == 0, "whole pictures"
        number = torch.arange(split.count).view(-1, down, across)
        right = torch.stack([number[:, :, :-1], number[:, :, 1:]]).flatten(2)
        below = torch.stack([number[:, :-1], number[:, 1:]]).flatten(2)
        pairs = torch.cat([right, below], 2)
        order = random.bits([CHOICE], pairs[0].numel()).view(pairs.shape[1:]).argsort(1)[:, : self.each]
        return pairs.gather(2, order.expand(2, -1, -1)).flatten(1)

    def pair(self, x: Float[Tensor, "S B d"], y: Float[Tensor, "S B d"], seeds: list[int], update: int, first: int = 0) -> Pair:
        return Pair(View(x), View(y))
