"""The fixed views that observers encode again and again."""

from collections.abc import Iterator

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
        self.kept = list(self.made()) if 4 * data.sets * count * data.inputs <= KEPT else None

    def __iter__(self) -> Iterator[Float[Tensor, "S _ d"]]:
        return self.made() if self.kept is None else iter(self.kept)

    def made(self) -> Iterator[Float[Tensor, "S _ d"]]:
        data, rows = self.data, max(1, MADE // self.data.inputs)
        for first in range(0, self.count, rows):
            last = min(first + rows, self.count)
            block = torch.stack([data.evaluation(self.split, s, first, last, self.device)[0] for s in range(data.sets)])
            yield block
            if block.shape[1] < last - first:
                return

    def all(self) -> Float[Tensor, "S n d"]:
        return torch.cat(list(self), 1)
