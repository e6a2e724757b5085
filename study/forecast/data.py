"""The pairs that a forecast is of, from what a user names: a folder, a file, a set, and how pairs are made of its samples."""

import math
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from numpy.lib.format import read_array_header_1_0, read_array_header_2_0, read_magic

from datamodules import Mask, SourcePairs
from datamodules.messages import printable
from datamodules.noise import Distractor, Noise, White
from datamodules.pairings import Crops, Lag, Neighbours, Pairing, Same
from datamodules.sources import Paired, Patches, Source
from datamodules.sources.torchvision import SIDES
from study.choices import Kind, Pairings
from study.sources import made, named, source

BIG = 224  # side to which pictures are reduced for pairs of their patches
AMPLITUDE, SIGMA = 14.0, 0.05  # those of `study run pixels`


@dataclass(frozen=True)
class Asked:
    """How pairs are made of samples; see study.forecast.command.spectrum."""

    pairing: Pairings = "noise"
    size: int | None = None
    root: Path | None = None
    download: bool = False
    window: int | None = None
    step: int | None = None
    lag: int = 1
    patch: int | None = None
    ratio: float = 0.75
    smallest: float = 0.7
    kind: Kind = "global"
    directions: int | None = None
    amplitude: float | None = None
    gamma: float = 0.4
    sigma: float | None = None
    count: int = 100_000
    seed: int = 0

    @property
    def after(self) -> int:
        """Of `lag`, time steps from x to y."""
        return self.lag * (self.step or self.window or 1)

    def pairs(self, data: str | Path) -> SourcePairs:
        """The pairs, not set up.

        Raises:
            ValueError: there are no such data, or no such pairs of them; one line.
        """
        if self.pairing not in get_args(Pairings):
            raise ValueError(f"unknown pairing {self.pairing!r}; choose one of {', '.join(get_args(Pairings))}")
        self._unused()
        samples = self._source(str(data))
        pairing: Pairing = Same()
        match self.pairing:
            case "crop":
                pairing = Crops(self.smallest)
            case "frames" | "lag":
                pairing = Lag(self.lag)
            case "neighbours":
                samples = Patches(samples, self.patch or 16)
                pairing = Neighbours(samples.grid)
        if isinstance(samples, Paired):
            pairing = Lag(1)
        mask = Mask(self.patch or 4, self.ratio) if self.pairing == "mask" else None
        noise = self._noise(samples.shape, isinstance(samples, Paired))
        return SourcePairs(samples, noise, pairing, mask, self.count, [self.seed])

    def _unused(self) -> None:
        """Raises ValueError: an option that means nothing for this pairing was given."""
        meant = {"lag": ("frames", "lag"), "patch": ("mask", "neighbours"), "ratio": ("mask",), "smallest": ("crop",)}
        for name, pairings in meant.items():
            if getattr(self, name) != getattr(type(self), name) and self.pairing not in pairings:
                raise ValueError(
                    f"{name} = {getattr(self, name)} has no meaning for pairing {self.pairing}; leave it out, or give --pairing "
                    f"{' or '.join(pairings)}"
                )
        if self.pairing == "lag" and self.window is None:
            raise ValueError("lag pairs windows of a recording; give --window, their length in time steps")

    def _source(self, data: str) -> Source:
        """The samples."""
        if _paired(Path(data)):
            return self._paired(Path(data))
        kind, given = named(data, self.root)
        if self.pairing == "neighbours" and self.size is None and kind != "arrays":
            given["size"] = {"builtin": 32, **SIDES}.get(kind, BIG)
        if self.pairing == "frames" and kind == "folder":
            given["groups"] = "folder"
        options = {"size": self.size, "window": self.window, "step": self.step, "download": self.download or None}
        return made(source(kind, given | {name: value for name, value in options.items() if value is not None}))

    def _paired(self, path: Path) -> Paired:
        if self.pairing != "noise" or self.window is not None or self.size is not None:
            raise ValueError(f"{printable(path)} holds pairs (x, y) already; leave --pairing, --window and --size out")
        return Paired(path)

    def _noise(self, shape: list[int], paired: bool) -> Noise:
        """What is added: under `noise` a distractor as in `study run pixels`, else only what is asked for."""
        d, by_noise = math.prod(shape), self.pairing == "noise" and not paired
        amplitude = (AMPLITUDE if by_noise else 0.0) if self.amplitude is None else self.amplitude
        sigma = (SIGMA if by_noise else 0.0) if self.sigma is None else self.sigma
        if not amplitude:
            for name in ("directions", "gamma", "kind"):
                if getattr(self, name) != getattr(type(self), name):
                    raise ValueError(
                        f"{name} = {getattr(self, name)} has no effect without a distractor; give --amplitude, its strength"
                    )
            return White(sigma)
        directions = min(128, max(1, d // 6)) if self.directions is None else self.directions
        return Distractor(self.kind, directions, amplitude, self.gamma, sigma)


def _paired(path: Path) -> bool:
    """Whether a file holds pairs: x, and a y that is no list of labels."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open("y.npy") as y:
            read = {1: read_array_header_1_0, 2: read_array_header_2_0}[read_magic(y)[0]]
            return "x.npy" in archive.namelist() and len(read(y)[0]) > 1
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):  # no y, or the source says what is wrong
        return False
