"""Two samples of one recording, one after the other."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from datamodules.pairings.pairing import Pairing
from datamodules.splits import Split
from datamodules.views import Pair, View


class Lag(Pairing):
    """x = a frame or window of a recording, y = the one that comes `steps` later; windows further apart than their length do not
    overlap. The moments are not made symmetric: a process need not look alike forwards and backwards.

    Args:
        steps: samples from x to y, >= 1.

    Raises:
        ValueError: steps below 1; a source whose samples have no order, or no recording that long.
    """

    symmetric = False

    def __init__(self, steps: int = 1) -> None:
        if steps < 1:
            raise ValueError(f"steps must be at least 1, found {steps}")
        self.steps = steps

    def rows(self, split: Split) -> Int[Tensor, "v m"]:
        if split.groups is None:
            raise ValueError(
                "Lag needs samples in the order of a recording, and this source has none; give one with recordings or groups, "
                "or pair noisy views (--pairing noise; in a configuration datamodules.pairings.Same)"
            )
        order = split.groups.argsort(stable=True)  # samples of one group stay in their order
        x, y = order[: -self.steps], order[self.steps :]
        rows = torch.stack([x, y])[:, split.groups[x] == split.groups[y]]
        if not rows.shape[1]:
            longest = int(split.groups.bincount().max())
            remedy = f"give at most {longest - 1:,}" if longest > 1 else "give longer ones"
            raise ValueError(
                f"a lag of {self.steps:,} samples (frames, or windows) is too long: the longest recording of a split has {longest:,}; {remedy}"
            )
        return rows

    def pair(self, x: Float[Tensor, "S B d"], y: Float[Tensor, "S B d"], seeds: list[int], update: int, first: int = 0) -> Pair:
        return Pair(View(x), View(y))
