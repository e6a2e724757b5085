"""Pairs of samples of any source, by any pairing, with noise whose covariance is known by construction."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Float32, Int, UInt8
from torch import Tensor

from datamodules import memory, random
from datamodules.messages import printable
from datamodules.moments import Moments
from datamodules.noise import Noise, White
from datamodules.order import balanced, held_out
from datamodules.pairings import Pairing, Same
from datamodules.pairs import EVALUATION, Pairs
from datamodules.products import Products, Streamed
from datamodules.sources import Source, Split
from datamodules.streams import ROWS
from datamodules.views import Pair, View

ROWS_AT_ONCE, FLOATS_AT_ONCE = 4096, 2**24
ENOUGH = 7  # samples of a class in training data, so that a fifth of at least 10, rounded down, holds one of them


@dataclass(frozen=True)
class Chosen:
    """The pairs of one split that are used, in the order in which they are."""

    values: UInt8[Tensor, "n *shape"] | Float32[Tensor, "n *shape"]
    rows: Int[Tensor, "v m"]  # of `values`: of both samples of a pair where v = 1, of each where v = 2
    labels: Int[Tensor, "m"] | None  # of the samples x
    classes: int | None

    @classmethod
    def of(cls, split: Split, rows: Int[Tensor, "v m"]) -> "Chosen":
        of_values = rows if split.rows is None else split.rows[rows]
        if split.labels is None:
            return cls(split.values, of_values, None, None)
        return cls(split.values, of_values, split.labels[rows[0]], len(split.classes))

    @property
    def count(self) -> int:
        return self.rows.shape[1]

    def at(self, which: Int[Tensor, "*n"] | slice) -> UInt8[Tensor, "v *n d"] | Float32[Tensor, "v *n d"]:
        """A copy of the samples of some pairs."""
        rows = self.rows[:, which]
        return self.values[rows].flatten(rows.ndim)

    def samples(self) -> Iterator[UInt8[Tensor, "_ d"] | Float32[Tensor, "_ d"]]:
        """The samples x, few at a time."""
        for some in self.rows[0].split(few(self.values[0].numel())):
            yield self.values[some].flatten(1)

    def to(self, device: torch.device) -> "Chosen":
        labels = None if self.labels is None else self.labels.to(device)
        return Chosen(_moved(self.values, device), self.rows.to(device), labels, self.classes)


class SourcePairs(Pairs):
    """Two noisy views: a source gives samples, a pairing makes clean pairs of them, and noise is added to both sides.

    Samples are centred by their mean over the training split and divided by one standard deviation, so that noise is in units of
    the samples' standard deviation.

    Args:
        source: where the samples come from.
        noise: what is added to them; none leaves them clean.
        pairing: how pairs are made of them; none gives both views the same sample (Same).
        count: how many pairs of each split to use at most, the classes in their proportions (datamodules.order); a fifth of
            the training samples is the validation split, unless the source has one.
        seeds: one seed for all networks, or one per network: fixes the batches and the noise.
        batch: pairs per update.
        updates: number of updates.
        chunk: updates per Lightning step.

    Raises:
        ValueError: an impossible value; at `setup` a source that cannot be read, samples that the noise or the pairing cannot take,
            or a split that would lack a class.
    """

    def __init__(
        self,
        source: Source,
        noise: Noise | None = None,
        pairing: Pairing | None = None,
        count: int = 20_000,
        seeds: list[int] = [0],  # noqa: B006 - LightningCLI shows the default; it is never changed
        batch: int = 128,
        updates: int = 2000,
        chunk: int = 50,
    ) -> None:
        super().__init__(updates, chunk, batch)
        if count < 10:
            raise ValueError(f"count must be at least 10, found {count}")
        if batch < 1:
            raise ValueError(f"batch must be at least 1, found {batch}")
        if not seeds:
            raise ValueError("seeds must hold at least one seed")
        self.source = source
        self.noise = White(0.0) if noise is None else noise
        self.pairing = Same() if pairing is None else pairing
        self.count, self.seeds, self.sets = count, list(seeds), len(seeds)
        self._chosen: dict[str, Chosen] = {}

    def setup(self, stage: str | None = None) -> None:
        if self._chosen:
            return
        self.attach()
        chosen = self._used(self.source.load())
        train = chosen["train"]
        sums = torch.stack([part.sum(0, dtype=torch.float64) for part in train.samples()]).sum(0)
        mean = self.pairing.centre(sums / train.count)
        squares = sum(float((part.double() - mean).square().sum()) for part in train.samples())
        if not squares < math.inf:
            raise ValueError(f"{self._where}: training samples hold values that are not finite; expected finite numbers")
        if squares == 0:
            raise ValueError(f"{self._where}: every training sample is the same; expected samples that differ")
        self._mean_d, self._std = mean.float(), (squares / (train.count * self.inputs)) ** 0.5
        self._chosen, self.classes = chosen, chosen["train"].classes

    def attach(self) -> None:
        """Make what depends on the shape of samples alone, before they are read.

        Raises:
            ValueError: the source cannot be read, or its samples cannot be paired so or given this noise.
        """
        shape = self.source.shape
        self.inputs = math.prod(shape)
        self.pairing.attach(shape)
        self.noise.attach(shape, self.seeds)

    def files(self) -> list[Path]:
        return self.source.files()

    @property
    def _where(self) -> str:
        return printable(self.source)

    def _used(self, loaded: dict[str, Split]) -> dict[str, Chosen]:
        """The pairs of each split that are used, in the order in which they are."""
        used = {}
        for name, split in loaded.items():
            self._check(name, split, self.source.shape)
            rows = self.pairing.rows(split)
            used[name] = rows[:, balanced(_labels(split)[rows[0]])[: self.count]]
        from_split = {name: (split, used[name]) for name, split in loaded.items()}
        if "validation" not in loaded:
            split, rows = from_split["train"]
            # The order once more, of those that count leaves: the fifth at its end then holds a fifth of each class.
            try:
                kept, held = held_out(_labels(split)[rows[0]], None if split.groups is None else split.groups[rows[0]])
            except ValueError as error:
                raise ValueError(f"{self._where}: {error}") from error
            from_split |= {"train": (split, rows[:, kept]), "validation": (split, rows[:, held])}
        for name, (split, rows) in from_split.items():
            if split.labels is not None and (
                missing := sorted(set(range(len(split.classes))) - set(split.labels[rows[0]].tolist()))
            ):
                raise ValueError(self._too_few(name, rows.shape[1], split, missing[0]))
        return {name: Chosen.of(split, rows) for name, (split, rows) in from_split.items()}

    def _check(self, name: str, split: Split, shape: list[int]) -> None:
        """Raises ValueError: the source, which can be anybody's, breaks its promises."""
        n, values = split.count, split.values
        found = f"{self._where}: the {name} split"
        if n == 0 or list(values.shape[1:]) != shape or values.dtype not in (torch.uint8, torch.float32):
            raise ValueError(
                f"{found} holds {n:,} samples of shape {list(values.shape[1:])} as {values.dtype}; expected at least one of shape "
                f"{shape} as uint8 or float32"
            )
        for what, numbers in (("labels", split.labels), ("groups", split.groups)):
            if numbers is not None and len(numbers) != n:
                raise ValueError(f"{found} holds {len(numbers):,} {what} for {n:,} samples; expected one for each")
        if split.labels is not None and not 0 <= int(split.labels.min()) <= int(split.labels.max()) < len(split.classes):
            raise ValueError(f"{found} holds labels beyond its {len(split.classes)} classes; expected numbers from 0")

    def _too_few(self, name: str, used: int, split: Split, label: int) -> str:
        """That a class has no sample in a split, and what to do."""
        assert split.labels is not None
        have, whole = int((split.labels == label).sum()), len(split.labels)
        line = (
            f"{self._where}: the {name} split of {used:,} samples would hold none of class {printable(split.classes[label], 80)}, "
            f"which has {have:,} of {whole:,} samples"
        )
        if split.groups is not None:
            return f"{line}; expected recordings or groups with every class in every split"
        if have and (needed := -(-ENOUGH * whole // have)) <= whole:
            return f"{line}; give --count {needed:,} or more"
        return f"{line}; {ENOUGH} training samples of a class are enough, and one in a test split"

    def _to(self, device: torch.device) -> None:
        """Everything training reads lives on the device; moved there once."""
        if self._mean_d.device != device:
            self.noise.to(device)
            self._mean_d = self._mean_d.to(device)
            self._chosen = {name: chosen.to(device) for name, chosen in self._chosen.items()}

    def pairs(self, update: int, device: torch.device, rank: int = 0, ranks: int = 1) -> Pair:
        self._to(device)
        count = self.share(ranks)
        first = rank * count
        keys = [random.key(s, ROWS, update) for s in self.seeds]
        which = random.integers(keys, count, self._chosen["train"].count, first, device)
        clean = self.pairing.pair(*self._clean("train", which), self.seeds, update, first)
        x, y = self.noise.views(clean.x.values, clean.y.values, update, first)
        return Pair(View(x, clean.x.keep), View(y, clean.y.keep))

    def _clean(self, split: str, which: Int[Tensor, "*n"] | slice) -> tuple[Float[Tensor, "*n d"], Float[Tensor, "*n d"]]:
        """The samples x and y of some pairs, centred and scaled; the same memory where they are the same."""
        samples = self._chosen[split].at(which).float().sub_(self._mean_d).div_(self._std)
        x, y = samples.expand(2, *samples.shape[1:])
        return x, y

    def clean(self, split: str, count: int | None = None) -> Float[Tensor, "n d"]:
        """The samples x of the first `count` pairs of a split without noise, centred and scaled."""
        return self._clean(split, slice(count))[0]

    def labels(self, split: str, count: int | None = None) -> Int[Tensor, "n"] | None:
        labels = self._chosen[split].labels
        return None if labels is None else labels[:count]

    def evaluation(
        self, split: str, index: int, first: int, last: int, device: torch.device
    ) -> tuple[Float[Tensor, "B d"], Float[Tensor, "B d"]]:
        self._to(device)
        clean_x, clean_y = self._clean(split, slice(first, last))
        x, y = self.noise.of(index).views(clean_x[None], clean_y[None], EVALUATION[split], first)
        return x[0], y[0]

    def coordinates(
        self, split: str, index: int, first: int, last: int, device: torch.device
    ) -> dict[str, Float[Tensor, "B _"]]:
        self._to(device)
        rows = len(range(self._chosen[split].count)[first:last])
        found = self.noise.of(index).coordinates(EVALUATION[split], rows, first)
        return {name: values[0] for name, values in found.items()}

    def directions(self) -> dict[str, tuple[Float[Tensor, "S d _"], float]]:
        return self.noise.directions()

    def moments(self) -> list[Moments]:
        """Moments of the training pairs, one per seed: streamed over the samples, exact in the noise."""
        memory.check(
            f"second moments of {self.inputs:,} inputs for {self.sets:,} seeds",
            8 * self.inputs**2 * (3 * self.sets + 4),
            "give smaller samples, or leave out what needs them, such as Alignment",
        )
        return self.noise.moments(self.pairing.moments(self._parts(), self.seeds[0]))

    def products(self) -> list[Products]:
        """Products with these moments, or with their symmetric part, streamed in the same way."""
        return [
            Streamed(self.inputs, lambda: self.pairing.drawn(self._parts(), self.seeds[0]), self.noise.of(i))
            for i in range(self.sets)
        ]

    def _parts(self) -> Iterator[tuple[Float[Tensor, "n d"], Float[Tensor, "n d"]]]:
        """The clean samples of the training pairs, few at a time."""
        for some in torch.arange(self._chosen["train"].count, device=self._mean_d.device).split(few(self.inputs)):
            yield self._clean("train", some)


def few(inputs: int) -> int:
    """Samples of so many numbers that are worked on at once."""
    return max(1, min(ROWS_AT_ONCE, FLOATS_AT_ONCE // inputs))


def _moved(values: Tensor, device: torch.device) -> Tensor:
    """On the device; windows that overlap share their memory there, too."""
    whole = values.untyped_storage().nbytes() // values.element_size()
    if values.numel() <= whole:
        return values.to(device)
    series = values.as_strided((whole,), (1,), 0).to(device)
    return series.as_strided(values.shape, values.stride(), values.storage_offset())


def _labels(split: Split) -> Int[Tensor, "n"]:
    """Labels to order samples by: all of one class where they have none."""
    return torch.zeros(split.count, dtype=torch.int64) if split.labels is None else split.labels
