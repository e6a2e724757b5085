"""Products of vectors with the moments of pairs, as matrices or without: at 3 x 96 x 96 inputs one matrix takes 6 GB.

Shapes: d inputs, f vectors as columns.
"""

import abc
from collections.abc import Callable, Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from datamodules.moments import Moments
from datamodules.noise import Noise


class Products(abc.ABC):
    """Moments of pairs whose two views have one distribution, as products with vectors; Syx is its symmetric part."""

    inputs: int  # d

    @abc.abstractmethod
    def products(self, vectors: Float[Tensor, "d f"]) -> tuple[Float[Tensor, "d f"], Float[Tensor, "d f"]]:
        """Syx v and (Sxx - Syx) v, float64. The second by itself, as it can be so small that a difference would lose it: it is
        half the second moment of x - y."""

    @abc.abstractmethod
    def solved(self, vectors: Float[Tensor, "d f"]) -> Float[Tensor, "d f"]:
        """(Sxx - Syx)^{-1} v, or something near it: the nearer, the faster the search."""


class Dense(Products):
    """Products with matrices."""

    def __init__(self, moments: Moments) -> None:
        self.Syx, self.inputs = (moments.Syx + moments.Syx.mT) / 2, len(moments.Syx)
        self.difference = moments.Sxx - self.Syx

    def products(self, vectors: Float[Tensor, "d f"]) -> tuple[Float[Tensor, "d f"], Float[Tensor, "d f"]]:
        return self.Syx @ vectors, self.difference @ vectors

    def solved(self, vectors: Float[Tensor, "d f"]) -> Float[Tensor, "d f"]:
        return torch.linalg.solve(self.difference, vectors)


class Streamed(Products):
    """Products of clean pairs, which are streamed once for each product, and of the exact moments of their noise.

    Args:
        inputs: dimension d of a view.
        clean: makes an iterator over all clean pairs (x, y) [n, d], a part at a time.
        noise: of one data set.
    """

    def __init__(self, inputs: int, clean: Callable[[], Iterable[tuple[Tensor, Tensor]]], noise: Noise) -> None:
        self.inputs, self.clean, self.noise = inputs, clean, noise

    def products(self, vectors: Float[Tensor, "d f"]) -> tuple[Float[Tensor, "d f"], Float[Tensor, "d f"]]:
        """With s = x + y and t = x - y of the clean views, Syx = E[s s^T - t t^T] / 4 and Sxx - Syx = E[t t^T] / 2."""
        both, apart, count = torch.zeros_like(vectors), torch.zeros_like(vectors), 0
        for x, y in self.clean():
            s, t = (x + y).to(vectors), (x - y).to(vectors)
            both += s.mT @ (s @ vectors)
            if t.any():  # not where both views show the same
                apart += t.mT @ (t @ vectors)
            count += len(x)
        cross, difference = self.noise.products(vectors)
        return (both - apart) / (4 * count) + cross, apart / (2 * count) + difference

    def solved(self, vectors: Float[Tensor, "d f"]) -> Float[Tensor, "d f"]:
        """Of the noise alone: exact where both views show the same."""
        return self.noise.solved(vectors)
