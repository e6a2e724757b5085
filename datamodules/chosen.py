"""The pairs of one split that are used, and their samples: on the device where they are small, else gathered from where they lie,
such as a file that is larger than the memory."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from jaxtyping import Float32, Int, UInt8
from torch import Tensor

from datamodules import memory, random
from datamodules.splits import Split

NUMBERS_AT_ONCE = 4096 * 768  # of samples that are gone through
SHARE = 0.25  # of a device's free memory that samples may take; where they would take more, each batch is gathered

Samples = UInt8[Tensor, "v *n d"] | Float32[Tensor, "v *n d"]


class Chosen:
    """Pairs of a split in the order in which they are used.

    Args:
        split: its samples, in memory or mapped.
        rows: numbers of samples: of both of a pair where v = 1, of each where v = 2.
    """

    def __init__(self, split: Split, rows: Int[Tensor, "v m"]) -> None:
        self.values, self.rows, self.count = split.values, rows if split.rows is None else split.rows[rows], rows.shape[1]
        self.grouped = split.groups is not None
        self.few = max(1, NUMBERS_AT_ONCE // self.values[0].numel())  # samples at once
        self.labels = None if split.labels is None else split.labels[rows[0]]  # of the samples x
        self.classes = None if split.labels is None else len(split.classes)
        self._drawing = ThreadPoolExecutor(1)
        self._next: tuple[tuple, Future[Samples]] | None = None
        self.to(memory.CPU)

    def to(self, device: torch.device) -> None:
        """Batches are to be made on this device; so the samples that are used move there, where they are small enough."""
        used, places = self.rows.unique(return_inverse=True)
        need = len(used) * self.values[0].numel() * self.values.itemsize
        self.device, self.near = device, need <= SHARE * memory.free_bytes(device)
        if self.near and device != self.values.device:
            near = self.values.new_empty(len(used), *self.values.shape[1:], device=device)
            for part, some in zip(near.split(self.few), used.split(self.few), strict=True):
                part.copy_(self.values[some])
            self.values, self.rows = near, places.to(device)
        self.labels = None if self.labels is None else self.labels.to(device)

    def at(self, which: Int[Tensor, "*n"] | slice) -> Samples:
        """A copy of the samples of some pairs."""
        numbers = which if isinstance(which, slice) else which.to(self.rows.device)
        return self._taken(self.rows[:, numbers]).to(self.device)

    def drawn(
        self, keys: list[int], following: list[int], count: int, first: int
    ) -> UInt8[Tensor, "v S B d"] | Float32[Tensor, "v S B d"]:
        """Samples of pairs number `first` to `first + count` of a batch that is drawn with replacement, one per key. Where they have to
        be gathered, those of the keys that follow are gathered while this batch is used."""
        if self.near:
            return self.at(random.integers(keys, count, self.count, first, self.rows.device))
        asked = (keys, count, first)
        batch = self._next[1].result() if self._next and self._next[0] == asked else self._gathered(*asked)
        then = (following, count, first)
        self._next = then, self._drawing.submit(self._gathered, *then)
        return batch.to(self.device, non_blocking=True)

    def _gathered(self, keys: list[int], count: int, first: int) -> Samples:
        batch = self._taken(self.rows[:, random.integers(keys, count, self.count, first)])
        return batch.pin_memory() if self.device.type == "cuda" else batch

    def stretches(self) -> Int[Tensor, "m"]:
        """Numbers of the pairs in an order in which neighbours are most alike: as their samples lie, where these have recordings or
        groups."""
        return self.rows[0].argsort() if self.grouped else torch.arange(self.count, device=self.rows.device)

    def samples(self) -> Iterator[UInt8[Tensor, "_ d"] | Float32[Tensor, "_ d"]]:
        """The samples x, few at a time, as they lie in their file."""
        for some in self.rows[0].sort().values.split(self.few):
            yield self._taken(some)

    def _taken(self, rows: Int[Tensor, "*n"]) -> UInt8[Tensor, "*n d"] | Float32[Tensor, "*n d"]:
        return self.values[rows].flatten(rows.ndim)
