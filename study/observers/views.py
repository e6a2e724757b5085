"""The fixed views that observers encode again and again."""

from collections.abc import Iterator
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from datamodules import Pairs

KEPT = 2**29  # bytes: more views of a split than fill this are made again each time, as they follow from their numbers
MADE = 2**24  # numbers made at once


class Views:
    """The views x of the first `count` pairs of a split, of each data set, in blocks [S, B, d]; fewer where the split has fewer."""

    def __init__(self, data: Pairs, split: str, count: int, device: torch.device) -> None:
        self.data, self.split, self.count, self.device = data, split, count, device

    def __iter__(self) -> Iterator[Float[Tensor, "S _ d"]]:
        fits = 4 * self.data.sets * self.count * self.data.inputs <= KEPT
        return iter(self.kept) if fits else self.made()

    @cached_property
    def kept(self) -> list[Float[Tensor, "S _ d"]]:
        return list(self.made())

    def made(self) -> Iterator[Float[Tensor, "S _ d"]]:
        data, rows = self.data, max(1, MADE // self.data.inputs)
        for first in range(0, self.count, rows):
            last = min(first + rows, self.count)
            block = torch.stack([data.evaluation(self.split, s, first, last, self.device)[0] for s in range(data.sets)])
            if block.shape[1]:
                yield block
            if block.shape[1] < last - first:
                return

    def all(self) -> Float[Tensor, "S n d"]:
        return torch.cat(list(self), 1)
