"""Pairs of samples of any source, by any pairing, with noise whose covariance is known by construction."""

import math
from collections.abc import Iterator
from pathlib import Path

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from datamodules import memory, random
from datamodules.chosen import Chosen
from datamodules.masks import Mask
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

SPLITS = {"train": "training", "validation": "validation", "test": "test"}
ENOUGH = 7  # samples of a class in training data, so that a fifth of at least 10, rounded down, holds one of them


class SourcePairs(Pairs):
    """Two noisy views: a source gives samples, a pairing makes clean pairs of them, and noise is added to both sides.

    Samples are centred by their mean over the training split and divided by one standard deviation, so that noise is in units of
    the samples' standard deviation.

    Args:
        source: where the samples come from.
        noise: what is added to them; none leaves them clean.
        pairing: how pairs are made of them; none gives both views the same sample (Same).
        mask: what x shows and y hides of the noisy samples in training; views for evaluation are whole. None: both show all.
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
        mask: Mask | None = None,
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
        self.mask = mask
        self.count, self.seeds, self.sets = count, list(seeds), len(seeds)
        self._chosen: dict[str, Chosen] = {}
        self._device = memory.CPU

    def setup(self, stage: str | None = None) -> None:
        if self._chosen:
            return
        self.attach()
        chosen = self._used(self.source.load())
        train = chosen["train"]
        sums, whole = torch.zeros(self.inputs, dtype=torch.float64), 0
        for part in train.samples():
            if part.is_floating_point():
                sums += part.sum(0, dtype=torch.float64)
            else:  # whole numbers are added faster, as exactly, and their squares at once
                sums += part.sum(0, dtype=torch.int32)
                whole += int((part.flatten().bincount(minlength=256) * torch.arange(256) ** 2).sum())
        mean = self.pairing.centre(sums / train.count)
        if whole:
            squares = whole - float((2 * sums - train.count * mean) @ mean)
        else:
            squares = sum(float(part.double().sub_(mean).square_().sum()) for part in train.samples())
        if not squares < math.inf:
            raise ValueError(f"{self._where}: training samples hold values that are not finite; expected finite numbers")
        if squares == 0:
            raise ValueError(f"{self._where}: every training sample is the same; expected samples that differ")
        self._mean_d, self._std = mean.float(), (squares / (train.count * self.inputs)) ** 0.5
        self._chosen, self.classes = chosen, chosen["train"].classes

    @property
    def counts(self) -> dict[str, int]:
        """Pairs of each split, after `setup`."""
        return {name: chosen.count for name, chosen in self._chosen.items()}

    def summary(self) -> str:
        """What was read, once it was: how many pairs of each split are used, of samples of which shape, in how many classes."""
        count = self.counts
        counts = ", ".join(f"{count[name]:,} {what}" for name, what in SPLITS.items())
        classes = f"{self.classes} classes" if self.classes else "no labels"
        return f"{self._where}: {counts} pairs of {' x '.join(map(str, self.source.shape))} numbers, {classes}"

    def attach(self) -> None:
        """Make what depends on the shape of samples alone, before they are read.

        Raises:
            ValueError: the source cannot be read, or its samples cannot be paired so, given this noise or masked so.
        """
        shape = self.source.shape
        self.inputs = math.prod(shape)
        self.pairing.attach(shape)
        self.noise.attach(shape, self.seeds)
        if self.mask is not None:
            self.mask.attach(shape)

    def files(self) -> list[Path]:
        return self.source.files()

    @property
    def _where(self) -> str:
        return printable(self.source)

    def _used(self, loaded: dict[str, Split]) -> dict[str, Chosen]:
        """The pairs of each split that are used, in the order in which they are."""
        for name, split in loaded.items():
            self._check(name, split, self.source.shape)
        used = {name: (split, self.pairing.rows(split)) for name, split in loaded.items()}
        if "test" not in used:
            used |= self._divided(*used["train"], "test")
        used = {name: (split, rows[:, balanced(_labels(split)[rows[0]])[: self.count]]) for name, (split, rows) in used.items()}
        if "validation" not in used:  # of those that count leaves, so that it holds a fifth of each class
            used |= self._divided(*used["train"], "validation")
        for name, (split, rows) in used.items():
            if split.labels is not None and (
                missing := sorted(set(range(len(split.classes))) - set(split.labels[rows[0]].tolist()))
            ):
                raise ValueError(self._too_few(name, rows.shape[1], split, missing[0]))
        return {name: Chosen(split, rows) for name, (split, rows) in used.items()}

    def _divided(self, split: Split, rows: Int[Tensor, "v m"], name: str) -> dict[str, tuple[Split, Int[Tensor, "v _"]]]:
        """The training pairs without a fifth, and that as the split `name`."""
        try:
            kept, held = held_out(_labels(split)[rows[0]], None if split.groups is None else split.groups[rows[0]])
        except ValueError as error:
            raise ValueError(f"{self._where}: {error}") from error
        return {"train": (split, rows[:, kept]), name: (split, rows[:, held])}

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
            groups = len(split.groups[split.labels == label].unique())
            return f"{line} in {groups} groups, which stay whole; expected at least one for each of train, validation and test"
        if have and (needed := -(-ENOUGH * whole // have)) <= whole:
            return f"{line}; give --count {needed:,} or more"
        return f"{line}; {ENOUGH} training samples of a class are enough, and one in a test split"

    def _to(self, device: torch.device) -> None:
        """Everything training reads lives on the device; moved there once, also where what lies there calls it by another name (cuda:0)."""
        if self._device != device:
            self._device = device
            self.noise.to(device)
            if self.mask is not None:
                self.mask.to(device)
            self._mean_d = self._mean_d.to(device)
            for chosen in self._chosen.values():
                chosen.to(device)

    def pairs(self, update: int, device: torch.device, rank: int = 0, ranks: int = 1) -> Pair:
        self._to(device)
        count = self.share(ranks)
        first = rank * count
        keys, following = ([random.key(s, ROWS, number) for s in self.seeds] for number in (update, update + 1))
        samples = self._chosen["train"].drawn(keys, following, count, first)
        clean = self.pairing.pair(*self._scaled(samples), self.seeds, update, first)
        x, y = self.noise.views(clean.x.values, clean.y.values, update, first)
        if self.mask is not None:
            x, y = self.mask.views(x, y, self.seeds, update, first)
        return Pair(View(x, clean.x.keep), View(y, clean.y.keep))

    def _clean(self, split: str, which: Int[Tensor, "*n"] | slice) -> tuple[Float[Tensor, "*n d"], Float[Tensor, "*n d"]]:
        """The samples x and y of some pairs, centred and scaled."""
        return self._scaled(self._chosen[split].at(which))

    def _scaled(self, samples: Shaped[Tensor, "v *n d"]) -> tuple[Float[Tensor, "*n d"], Float[Tensor, "*n d"]]:
        """A copy that may be written to, centred and scaled; x and y are the same memory where they are the same."""
        made = samples.float().sub_(self._mean_d).div_(self._std)
        x, y = made.expand(2, *made.shape[1:])
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

    def pictures(self, views: Float[Tensor, "n d"]) -> Float[Tensor, "n C h w"] | None:
        shape = self.source.shape
        return views.view(-1, *shape) if len(shape) == 3 and shape[0] in (1, 3) else None

    def directions(self) -> dict[str, tuple[Float[Tensor, "S d _"], float]]:
        return {} if self.mask is not None else self.noise.directions()  # what is masked enters by parts

    def moments(self) -> list[Moments]:
        """Moments of the training pairs, one per seed: streamed over the samples, exact in the noise and the mask."""
        memory.check(
            f"second moments of {self.inputs:,} inputs for {self.sets:,} seeds",
            8 * self.inputs**2 * (3 * self.sets + 4),
            "give smaller samples, or leave out what needs them, such as Alignment",
        )
        noisy = self.noise.moments(self.pairing.moments(self.parts(), self.seeds[0]))
        return noisy if self.mask is None else [self.mask.moments(of) for of in noisy]

    def products(self) -> list[Products]:
        """Products with these moments, or with their symmetric part, streamed in the same way; of masked pairs by the matrices, as a mask
        acts on their entries."""
        if self.mask is not None:
            return super().products()
        return [
            Streamed(self.inputs, lambda: self.pairing.drawn(self.parts(), self.seeds[0]), self.noise.of(i))
            for i in range(self.sets)
        ]

    def blocks(self, count: int) -> list[Int[Tensor, "_"]]:
        """Numbers of the training pairs in `count` parts of equal size, give or take one, for statistics that need independent ones.
        Samples of one recording or group are alike, so where there are any a part is a stretch of them as they lie; else each is a part
        of the order of the pairs, which holds the classes in their proportions."""
        return list(self._chosen["train"].stretches().tensor_split(count))

    def continuity(self) -> float:
        """Correlation of training samples with the next as they lie, over some of them: 0 where they are independent, near 1 along a
        recording."""
        some = next(self._chosen["train"].samples()).flatten(1).double()
        some = some - some.mean(0)
        return float((some[1:] * some[:-1]).sum() / some.square().sum())

    def parts(self, block: Int[Tensor, "n"] | None = None) -> Iterator[tuple[Float[Tensor, "_ d"], Float[Tensor, "_ d"]]]:
        """The clean samples of the training pairs of a block, or of all, few at a time; x and y are the same memory where they are the
        same."""
        train = self._chosen["train"]
        numbers = torch.arange(train.count, device=self._mean_d.device) if block is None else block
        for some in numbers.split(train.few):
            yield self._clean("train", some)


def _labels(split: Split) -> Int[Tensor, "n"]:
    """Labels to order samples by: all of one class where they have none."""
    return torch.zeros(split.count, dtype=torch.int64) if split.labels is None else split.labels
