"""The patches of pictures, of which any size of picture has small ones."""

import math
from pathlib import Path

import torch
from torch import Tensor

from datamodules.sources.source import Source
from datamodules.splits import Split


class Patches(Source):
    """The squares that a grid cuts out of each picture, row by row: a group of `grid` samples for each picture, with its label. What the
    grid leaves at the right and at the bottom is no sample.

    The patches are a view of the pictures, which are neither copied nor read.

    Args:
        source: pictures of channels x rows x columns.
        side: of a patch in pixels.

    Raises:
        ValueError: `source` has no pictures, or none of two patches.
    """

    def __init__(self, source: Source, side: int) -> None:
        shape = source.shape
        if len(shape) != 3:
            raise ValueError(f"patches need pictures of channels, rows and columns, found samples of shape {shape}")
        if side < 1 or (shape[1] // side) * (shape[2] // side) < 2:
            raise ValueError(
                f"pictures of {shape[1]} x {shape[2]} pixels do not hold two patches of {side}; give a smaller --patch or a larger --size"
            )
        self.source, self.side = source, side
        self.grid = (shape[1] // side, shape[2] // side)

    def __str__(self) -> str:
        return str(self.source)

    @property
    def shape(self) -> list[int]:
        return [self.source.shape[0], self.side, self.side]

    @property
    def labelled(self) -> bool:
        return self.source.labelled

    def files(self) -> list[Path]:
        return self.source.files()

    def load(self) -> dict[str, Split]:
        return {name: self._cut(split) for name, split in self.source.load().items()}

    def _cut(self, split: Split) -> Split:
        pictures = split.values.contiguous()
        channels, height, width = pictures.shape[1:]
        size, side = channels * height * width, self.side
        # Every place of the file is the first number of a patch; those of the grid are the samples.
        last = (channels - 1) * height * width + (side - 1) * width + side - 1
        everywhere = pictures.flatten().as_strided(
            [pictures.numel() - last, channels, side, side], [1, height * width, width, 1]
        )
        down, across = (torch.arange(n) * side for n in self.grid)
        numbers = torch.arange(len(pictures)) if split.rows is None else split.rows
        rows = (numbers[:, None] * size + (down[:, None] * width + across).flatten()).flatten()
        each = math.prod(self.grid)

        def of_patches(of_pictures: Tensor) -> Tensor:
            return of_pictures.repeat_interleave(each)

        labels = None if split.labels is None else of_patches(split.labels)
        return Split(everywhere, labels, split.classes, of_patches(torch.arange(split.count)), rows)
