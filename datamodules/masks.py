"""Visible and hidden patches: x shows what y hides. Drawn for training, and exact in the moments, without drawing one (theory, section 7).

Shapes: S data sets, B pairs, samples of `shape` as d numbers, P patches.
"""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from datamodules import random
from datamodules.moments import Moments
from datamodules.streams import MASKS


class Mask:
    """x keeps the visible patches of a noisy sample and y the hidden ones, all else 0, which is the mean: for every pair so many of the
    P patches, any choice as likely as any other.

    Args:
        patch: side of a patch, see `patches`.
        ratio: share of the patches that is hidden, in (0, 1), rounded to whole ones.
    """

    def __init__(self, patch: int = 4, ratio: float = 0.75) -> None:
        self.patch, self.ratio = patch, ratio

    def attach(self, shape: list[int]) -> None:
        """Called once, before all else, with the shape of a sample.

        Raises:
            ValueError: patches do not divide it, or no patch would be hidden, or none visible.
        """
        self.number_d = patches(shape, self.patch)
        self.patches = P = int(self.number_d.max()) + 1
        self.hidden = round(self.ratio * P)
        if not 1 <= self.hidden <= P - 1:
            raise ValueError(
                f"a mask ratio of {self.ratio:g} hides {self.hidden} of the {P} patches of samples of shape {shape}; expected at least one "
                "hidden and one visible"
            )

    def to(self, device: torch.device) -> None:
        """Moves what it holds to the device on which batches are made."""
        self.number_d = self.number_d.to(device)

    def views(
        self, x: Float[Tensor, "S B d"], y: Float[Tensor, "S B d"], seeds: list[int], update: int, first: int = 0
    ) -> tuple[Float[Tensor, "S B d"], Float[Tensor, "S B d"]]:
        """x without the hidden patches and y without the visible ones, in an update's pairs from number `first` on."""
        hidden = self.drawn(seeds, update, x.shape[1], first)
        return x.masked_fill(hidden, 0), y.masked_fill(~hidden, 0)

    def drawn(self, seeds: list[int], update: int, count: int, first: int = 0) -> Bool[Tensor, "S count d"]:
        """Which inputs are hidden."""
        keys = [random.key(s, MASKS, update) for s in seeds]
        place = random.uniform(keys, count, self.patches, first, self.number_d.device).argsort(dim=-1, stable=True)
        hidden = torch.zeros_like(place, dtype=torch.bool).scatter_(-1, place[..., : self.hidden], True)
        return hidden[..., self.number_d]

    def moments(self, moments: Moments) -> Moments:
        """Of masked pairs, the mean over masks. With v visible and h hidden patches, two inputs are both visible with probability v / P in
        one patch and v (v - 1) / (P (P - 1)) in two, and hidden and visible with 0 and h v / (P (P - 1)); the mean multiplies the
        moments with these, entry by entry."""
        P, hidden = self.patches, self.hidden
        same = self.number_d[:, None] == self.number_d
        both = P * (P - 1)

        def together(n: int) -> Float[Tensor, "d d"]:
            return torch.where(same, n / P, n * (n - 1) / both).to(moments.Sxx)

        apart = torch.where(same, 0.0, hidden * (P - hidden) / both).to(moments.Sxx)
        return Moments(moments.Sxx * together(P - hidden), moments.Syx * apart, moments.Syy * together(hidden), moments.count)


def patches(shape: list[int], side: int) -> Int[Tensor, "d"]:
    """The number of the patch that each input is in: squares of so many pixels of an image, stretches of so many times of a window
    [channels, times], runs of so many numbers of a vector.

    Raises:
        ValueError: the sides are no multiples of it, or there is but one patch.
    """
    spatial = shape[1:] if len(shape) > 1 else shape
    if side < 1 or any(length % side for length in spatial) or math.prod(spatial) == side ** len(spatial):
        raise ValueError(f"patches of {side} do not divide samples of shape {shape} into two or more; give a divisor")
    number = torch.zeros(spatial, dtype=torch.int64)
    for axis, length in enumerate(spatial):
        along = torch.arange(length) // side
        number = number * (length // side) + along.view([-1 if i == axis else 1 for i in range(len(spatial))])
    return number.expand(shape).flatten()
