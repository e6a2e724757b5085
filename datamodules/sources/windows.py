"""Windows of recordings, cut so that those of different splits never overlap."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from datamodules.messages import say
from datamodules.splits import Split

FEW = 3  # recordings from which on whole ones are held out

Block = tuple[int, int]  # first time of a recording, or of a part of one, and the one after its last


@dataclass(frozen=True)
class Windows:
    """Of T numbers, T x d, or R recordings of T x d, windows of d x length numbers, one every `step` times.

    Of three recordings or more whole ones are held out: the last fifth for the test split, and of the others again the last fifth
    for validation. Of fewer, the last parts in time, each after a gap of one window, as neighbours in time are alike. The label of a
    window is the one that most of its times have.
    """

    length: int
    step: int

    def shape(self, of: Sequence[int]) -> list[int]:
        """Of a window of an array of this shape."""
        return [of[-1] if len(of) > 1 else 1, self.length]

    def splits(
        self, where: str, parts: dict[str, tuple[Tensor, Int[Tensor, "..."] | None]], classes: tuple[str, ...]
    ) -> dict[str, Split]:
        """The splits of "train" and, where it has arrays of its own, "test", each an array and labels of its recordings or times.

        Raises:
            ValueError: recordings are too short to hold windows of every split.
        """
        found = {}
        for name, (x, labels) in parts.items():
            times = x.shape[1] if x.ndim == 3 else x.shape[0]
            blocks = [(first, first + times) for first in range(0, x.shape[0] * times if x.ndim == 3 else times, times)]
            series = x.reshape(-1, self.shape(x.shape)[0])
            if labels is not None and labels.shape[0] != len(series):  # of recordings, or of their times
                labels = labels.reshape(len(blocks), -1).expand(-1, times).flatten()
            for split, chosen in (self._held_out(where, name, blocks, "test" in parts)).items():
                found[split] = self._split(where, split, series, labels, classes, chosen)
        return found

    def _held_out(self, where: str, name: str, blocks: list[Block], tested: bool) -> dict[str, list[Block]]:
        """The blocks of each split that the array called `name` gives; where `tested`, the test split has an array of its own."""
        if name == "test":
            return {"test": blocks}
        made = {}
        for split in ("validation",) if tested else ("test", "validation"):
            if len(blocks) >= FEW:
                fifth = max(1, len(blocks) // 5)
                blocks, made[split] = blocks[:-fifth], blocks[-fifth:]
            else:
                of = "what is left" if made else "the time"
                cuts = [first + (last - first) * 4 // 5 for first, last in blocks]
                made[split] = [(cut + self.length, last) for cut, (_, last) in zip(cuts, blocks, strict=True)]
                blocks = [(first, cut) for cut, (first, _) in zip(cuts, blocks, strict=True)]
                say(f"{where}: the last fifth of {of} is the {split} split, after a gap of {self.length:,} time steps")
        return made | {"train": blocks}

    def _split(
        self,
        where: str,
        name: str,
        series: Shaped[Tensor, "times d"],
        labels: Int[Tensor, "times"] | None,
        classes: tuple[str, ...],
        blocks: list[Block],
    ) -> Split:
        starts = [torch.arange(first, max(first, last - self.length + 1), self.step) for first, last in blocks]
        rows = torch.cat(starts)
        if not len(rows):
            raise ValueError(
                f"{where}: no window of {self.length:,} time steps fits into the {name} split; give a smaller --window, or more data"
            )
        groups = torch.repeat_interleave(torch.arange(len(blocks)), torch.tensor([len(part) for part in starts]))
        windows = series.unfold(0, self.length, 1)  # all of them, in the memory of the series
        if labels is not None:
            labels = labels.unfold(0, self.length, 1)[rows].mode(dim=1).values
        return Split(windows, labels, classes, groups, rows)
