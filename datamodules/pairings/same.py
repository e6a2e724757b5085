"""Two views of one sample, which noise alone tells apart."""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from datamodules import random
from datamodules.moments import Moments
from datamodules.pairings.pairing import Pairing, check_images
from datamodules.streams import FLIPS
from datamodules.views import Pair, View


class Same(Pairing):
    """x = y = the sample.

    Args:
        flip: flip both views of an image together, left to right, at random.
    """

    symmetric = True

    def __init__(self, flip: bool = False) -> None:
        self.flip = flip

    def attach(self, shape: list[int]) -> None:
        super().attach(shape)
        if self.flip:
            check_images("flip", shape)

    def centre(self, mean: Float[Tensor, "d"]) -> Float[Tensor, "d"]:
        return (mean + self._flipped(mean)) / 2 if self.flip else mean

    def pair(self, x: Float[Tensor, "S B d"], y: Float[Tensor, "S B d"], seeds: list[int], update: int, first: int = 0) -> Pair:
        if self.flip:
            keys = [random.key(s, FLIPS, update) for s in seeds]
            chosen = random.uniform(keys, x.shape[1], 1, first, x.device) < 0.5
            x = torch.where(chosen, self._flipped(x), x)
        return Pair(View(x), View(x))

    def moments(self, samples: Iterator[tuple[Float[Tensor, "n d"], Float[Tensor, "n d"]]], seed: int) -> Moments:
        """Exact: of each sample both ways round."""
        found = Moments.stream(samples).symmetric()
        if not self.flip:
            return found
        columns = self._flipped(torch.arange(len(found.Sxx), device=found.Sxx.device))
        S, cross = ((m + m[columns][:, columns]) / 2 for m in (found.Sxx, found.Syx))
        return Moments(S, cross, S, found.count)

    def drawn(
        self, samples: Iterator[tuple[Float[Tensor, "n d"], Float[Tensor, "n d"]]], seed: int, first: int = 0
    ) -> Iterator[tuple[Float[Tensor, "n d"], Float[Tensor, "n d"]]]:
        for x, y in samples:
            yield x, y
            if self.flip:
                turned = self._flipped(x)
                yield turned, turned

    def _flipped(self, values: Shaped[Tensor, "*rows d"]) -> Shaped[Tensor, "*rows d"]:
        return values.unflatten(-1, self.shape).flip(-1).flatten(-3)
