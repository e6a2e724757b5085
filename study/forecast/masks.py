"""Moments of visible and hidden patches: exact for random masks, without drawing one (theory, section 7).

Shapes: d inputs, P patches.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from datamodules import Moments


@dataclass(frozen=True)
class Mask:
    """Which share of the patches of a sample is hidden from x and shown in y.

    Args:
        shape: of a sample.
        side: of a patch.
        ratio: of patches that are hidden, in (0, 1).
    """

    shape: list[int]
    side: int
    ratio: float

    def of(self, moments: Moments) -> Moments:
        """Of the masked pairs, the mean over masks.

        Raises:
            ValueError: as `patches` and `masked`.
        """
        return masked(moments, patches(self.shape, self.side), self.ratio)


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


def masked(moments: Moments, patch: Int[Tensor, "d"], ratio: float) -> Moments:
    """x shows the visible patches and y the hidden ones, all else 0; `ratio` of the P patches, rounded, are hidden, any choice as
    likely as any other. With v visible and h hidden ones, two inputs are both visible with probability v / P in one patch and
    v (v - 1) / (P (P - 1)) in two, and hidden and visible with 0 and h v / (P (P - 1)); the mean over masks multiplies the moments with
    these, entry by entry.

    Raises:
        ValueError: no patch would be hidden, or none visible.
    """
    P = int(patch.max()) + 1
    hidden = round(ratio * P)
    if not 1 <= hidden <= P - 1:
        raise ValueError(
            f"a mask ratio of {ratio:g} hides {hidden} of {P} patches; expected at least one hidden and one visible"
        )
    same = patch[:, None] == patch
    both = P * (P - 1)

    def together(n: int) -> Float[Tensor, "d d"]:
        return torch.where(same, n / P, n * (n - 1) / both).to(moments.Sxx)

    apart = torch.where(same, 0.0, hidden * (P - hidden) / both).to(moments.Sxx)
    return Moments(moments.Sxx * together(P - hidden), moments.Syx * apart, moments.Syy * together(hidden), moments.count)
