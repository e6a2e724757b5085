"""Sets that torchvision knows and can fetch."""

from functools import lru_cache
from pathlib import Path
from typing import Literal, get_args

import torch
import torchvision

from datamodules.messages import printable, reason
from datamodules.sizes import averaged, check_size
from datamodules.sources.source import Source
from datamodules.splits import Split

Name = Literal["cifar10", "cifar100", "stl10"]
SIDES = {"cifar10": 32, "cifar100": 32, "stl10": 96}


class Torchvision(Source):
    """CIFAR-10, CIFAR-100 or the labelled part of STL-10. torchvision checks its own files, so they are no part of a run's identity.

    Args:
        name: of the set.
        root: folder of its files.
        download: let torchvision fetch them.
        size: side to which the images are reduced, a divisor of theirs.

    Raises:
        ValueError: an unknown set or an impossible size.
    """

    def __init__(self, name: Name, root: Path, download: bool = False, size: int = 16) -> None:
        if name not in get_args(Name):
            raise ValueError(f"unknown set {printable(name, 50)!r}; choose one of {', '.join(get_args(Name))}")
        check_size(size, SIDES[name])
        self.name, self.root, self.download, self.size = name, Path(root), download, size

    def __str__(self) -> str:
        return str(self.root)

    @property
    def shape(self) -> list[int]:
        return [3, self.size, self.size]

    def load(self) -> dict[str, Split]:
        if not self.root.is_dir() and not self.download:
            raise ValueError(f"{printable(self.root)}: no such folder; {self.name} expects its files there")
        return _read(self.name, self.root, self.download, self.size)


@lru_cache(maxsize=2)
def _read(name: str, root: Path, download: bool, size: int) -> dict[str, Split]:
    make = {
        "cifar10": lambda train: torchvision.datasets.CIFAR10(root, train, download=download),
        "cifar100": lambda train: torchvision.datasets.CIFAR100(root, train, download=download),
        "stl10": lambda train: torchvision.datasets.STL10(root, "train" if train else "test", download=download),
    }[name]
    try:
        sets = {"train": make(True), "test": make(False)}
    except RuntimeError as error:  # torchvision's word for a set that is missing or fails its checksum
        raise ValueError(
            f"{printable(root)}: {name} is missing or incomplete there ({reason(error)}); give --download"
        ) from error
    except (OSError, EOFError) as error:
        raise ValueError(f"{printable(root)}: {name} could not be read or downloaded ({reason(error)})") from error
    splits = {}
    for split, data in sets.items():
        images = torch.from_numpy(data.data)
        images = images if name == "stl10" else images.permute(0, 3, 1, 2)
        labels = data.labels if name == "stl10" else data.targets
        splits[split] = Split(averaged(images, size), torch.as_tensor(labels).long(), tuple(data.classes))
    return splits
