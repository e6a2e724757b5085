"""What every encoder is: N networks trained as one, whose every parameter and buffer has the network as axis 0."""

import abc
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

SEEDS = 2**32
Precision = Literal["float32", "float64"]


class Encoder(nn.Module, abc.ABC):
    """Base of encoders f. All that trains, measures or stores them relies on the one rule above and on nothing else.

    Args:
        inputs: dimension d of a view.
        features: dimension k of the features.
        seeds: one initialisation seed per network; their number is N.
        dtype: "float32" or "float64".

    Raises:
        ValueError: no seed, or one out of range.
    """

    linear = False  # whether it is a product of matrices, `layers`

    def __init__(self, inputs: int, features: int, seeds: list[int], dtype: Precision) -> None:
        super().__init__()
        if not seeds:
            raise ValueError("seeds must hold one seed per network, found none")
        if not 0 <= min(seeds) <= max(seeds) < SEEDS:
            raise ValueError(f"seeds must be from 0 to {SEEDS - 1:,}, found {min(seeds)} to {max(seeds)}")
        self.inputs, self.features, self.seeds = inputs, features, list(seeds)
        self.dtype = getattr(torch, dtype)

    @property
    def networks(self) -> int:
        return len(self.seeds)

    @property
    @abc.abstractmethod
    def taps(self) -> list[str]:
        """Names of what `forward` returns, input side first; the last is "features"."""

    @abc.abstractmethod
    def forward(self, x: Float[Tensor, "S B d"]) -> dict[str, Float[Tensor, "N B _"]]:
        """Every tap by name, flattened; S is 1 (one batch for all networks) or N."""
