"""Image sources behind one function: decoded once into uint8 tensors, with labels and splits."""

from functools import lru_cache
from pathlib import Path
from typing import Literal, get_args

import torch
import torchvision

from datamodules.decoding import Reading
from datamodules.folder import folder, pictures
from datamodules.messages import printable, reason
from datamodules.parquet import parquet, tables
from datamodules.reading import read
from datamodules.seen import Look, look
from datamodules.shapes import CLASSES, shapes
from datamodules.splits import Split

Source = Literal["builtin", "cifar10", "cifar100", "stl10", "folder", "parquet"]
LISTED = {"folder": pictures, "parquet": tables}  # sources made of the user's own files
BUILTIN_TRAIN, BUILTIN_TEST = 25_000, 5_000
USUAL = Reading()


def files(source: str, root: Path | None) -> list[Path]:
    """The files that a source's images are read from; none of what is built in, or is torchvision's, which checks its own.

    Raises:
        ValueError: the folder is missing or cannot be read.
    """
    if source not in LISTED:
        return []
    if root is None:
        raise ValueError(f"image source {source!r} needs a root folder; give --root FOLDER")
    if not Path(root).is_dir():
        raise ValueError(f"{printable(root)}: no such folder; image source {source!r} expects its files there")
    return LISTED[source](Path(root))


def load(source: str, root: Path | None = None, download: bool = False, reading: Reading = USUAL) -> dict[str, Split]:
    """The splits "train", "test" and, where the source has its own, "validation"; decoded once per process.

    What is converted or skipped on the way is said on stderr.

    Args:
        source: "builtin" (datamodules.shapes), a torchvision set, "folder" (datamodules.folder) or "parquet"
            (datamodules.parquet).
        root: where the files lie; needed by all sources but "builtin".
        download: let torchvision fetch its set into `root`.
        reading: how the user's own files are read, and to which size; the other sources keep theirs.

    Raises:
        ValueError: one line that names the file and says what was expected.
    """
    if source not in get_args(Source):
        raise ValueError(f"unknown image source {printable(source, 50)!r}; choose one of {', '.join(get_args(Source))}")
    seen = look(files(source, root))
    return _load(source, None if root is None else Path(root), download, seen, reading if source in LISTED else USUAL)


@lru_cache(maxsize=2)
def _load(source: str, root: Path | None, download: bool, seen: tuple[Look, ...], reading: Reading) -> dict[str, Split]:
    """`seen`: the source's files, which are read again where they changed."""
    if source == "builtin":
        return {
            "train": Split(*shapes(BUILTIN_TRAIN), CLASSES),
            "test": Split(*shapes(BUILTIN_TEST, first=BUILTIN_TRAIN), CLASSES),
        }
    if root is None:
        raise ValueError(f"image source {source!r} needs a root folder; give --root FOLDER")
    if source in LISTED:
        return read(root, folder(root) if source == "folder" else parquet(root), reading, seen)
    if not root.is_dir() and not download:
        raise ValueError(f"{printable(root)}: no such folder; image source {source!r} expects its files there")
    return _torchvision(source, root, download)


def _torchvision(source: str, root: Path, download: bool) -> dict[str, Split]:
    make = {
        "cifar10": lambda train: torchvision.datasets.CIFAR10(root, train, download=download),
        "cifar100": lambda train: torchvision.datasets.CIFAR100(root, train, download=download),
        "stl10": lambda train: torchvision.datasets.STL10(root, "train" if train else "test", download=download),
    }[source]
    try:
        sets = {"train": make(True), "test": make(False)}
    except RuntimeError as error:  # torchvision's word for a set that is missing or fails its checksum
        raise ValueError(
            f"{printable(root)}: {source} is missing or incomplete there ({reason(error)}); give --download"
        ) from error
    except (OSError, EOFError) as error:
        raise ValueError(f"{printable(root)}: {source} could not be read or downloaded ({reason(error)})") from error
    splits = {}
    for name, data in sets.items():
        images = torch.from_numpy(data.data)
        images = images if source == "stl10" else images.permute(0, 3, 1, 2)
        labels = data.labels if source == "stl10" else data.targets
        splits[name] = Split(images.contiguous(), torch.as_tensor(labels).long(), tuple(data.classes))
    return splits
