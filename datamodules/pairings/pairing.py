"""What every pairing is: which clean samples the two views of a pair show, and what of them."""

import abc
from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

from datamodules.moments import Moments
from datamodules.splits import Split
from datamodules.views import Pair

MOMENTS = -4  # number of the update, beside those of EVALUATION, whose pairs the moments are taken of


class Pairing(abc.ABC):
    """Pairs of clean samples, to which noise is added afterwards. Its random numbers follow from a seed, the number of an update and
    that of the row."""

    shape: list[int]  # of a sample
    symmetric = False  # whether both views have one distribution: moments are averaged with those of (y, x) then

    def attach(self, shape: list[int]) -> None:
        """Called once, before all else, with the shape of a sample.

        Raises:
            ValueError: samples of this shape cannot be paired so.
        """
        self.shape = list(shape)

    def rows(self, split: Split) -> Int[Tensor, "v m"]:
        """The rows of the split that each of its m pairs is made of: one for both views (v = 1), or one for each (v = 2).

        Raises:
            ValueError: it holds no such pair.
        """
        return torch.arange(split.count)[None]

    def centre(self, mean: Float[Tensor, "d"]) -> Float[Tensor, "d"]:
        """The mean of the views of samples that have this mean."""
        return mean

    @abc.abstractmethod
    def pair(self, x: Float[Tensor, "S B d"], y: Float[Tensor, "S B d"], seeds: list[int], update: int, first: int = 0) -> Pair:
        """The views of an update's pairs from number `first` on, made of their samples, which stay as they are."""

    def moments(self, samples: Iterator[tuple[Float[Tensor, "n d"], Float[Tensor, "n d"]]], seed: int) -> Moments:
        """Second moments of the pairs made of these samples, one pair of each."""
        found = Moments.stream(self.drawn(samples, seed))
        return found.symmetric() if self.symmetric else found

    def drawn(
        self, samples: Iterator[tuple[Float[Tensor, "n d"], Float[Tensor, "n d"]]], seed: int, first: int = 0
    ) -> Iterator[tuple[Float[Tensor, "n d"], Float[Tensor, "n d"]]]:
        """The pairs of which these are the moments, from number `first` on, a part at a time."""
        for x, y in samples:
            pair = self.pair(x[None], y[None], [seed], MOMENTS, first)
            yield pair.x.values[0], pair.y.values[0]
            first += len(x)


def check_images(what: str, shape: list[int]) -> None:
    """Raises ValueError: samples of this shape are no images."""
    if len(shape) != 3:
        raise ValueError(f"{what} needs images of channels, rows and columns, found samples of shape {shape}; leave it out")
