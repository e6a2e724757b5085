"""The splits of a source: which files or folders are which split and what each image is, and the samples that are read of them."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float32, Int, UInt8
from torch import Tensor

from datamodules.messages import printable, reason, say

NAMES = {
    "train": "train",
    "training": "train",
    "test": "test",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
}


@dataclass(frozen=True)
class Listed:
    """Encoded images of one split, read one by one as they are decoded, each with a name for messages."""

    encoded: Iterable[tuple[str, bytes]]
    labels: list[int]


@dataclass(frozen=True)
class Listing:
    """The splits "train", "test" and, where the source has its own, "validation"; labels count the names of `classes`."""

    splits: dict[str, Listed]
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Split:
    """The samples of one split, in memory or mapped, and what is known of each."""

    values: UInt8[Tensor, "_ *shape"] | Float32[Tensor, "_ *shape"]
    labels: Int[Tensor, "n"] | None = None
    classes: tuple[str, ...] = ()  # names of the labels 0, 1, ...; the same in every split
    groups: Int[Tensor, "n"] | None = None  # numbers of the recordings or groups; the samples of one follow one another in time
    rows: Int[Tensor, "n"] | None = None  # which rows of `values` are the samples, where these are not all of them

    @property
    def count(self) -> int:
        """Number of samples."""
        return len(self.values) if self.rows is None else len(self.rows)


def listed(folder: Path) -> list[os.DirEntry[str]]:
    """What lies in a folder, by name.

    Raises:
        ValueError: it cannot be read, or holds something that never ends or never was: a pipe, socket, device or broken link.
    """
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        for entry in found:
            if not (entry.is_dir() or entry.is_file()):
                raise ValueError(
                    f"{printable(entry.path)}: neither a file nor a folder (a pipe, socket, device or broken link)"
                )
    except OSError as error:
        raise ValueError(f"{printable(error.filename or folder)}: cannot be read ({reason(error)})") from error
    return found


def look(files: Iterable[Path]) -> tuple:
    """Names, sizes, times and numbers of files, of which one changes where a file does, or another one takes its place."""
    found = [(path, path.stat()) for path in files]
    return tuple((path, s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino, s.st_dev) for path, s in found)


def content(path: str) -> bytes:
    """The bytes of a file.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"{printable(path)}: cannot be read ({reason(error)})") from error


def used(root: Path, found: Iterable[str]) -> dict[str, str]:
    """Maps each split that is read to the one that it is used as.

    Raises:
        ValueError: no training or no other split.
    """
    splits = sorted(set(found), key=("train", "validation", "test").index)
    if set(splits) == {"train", "validation"}:
        say(f"{printable(root)} has no test split: its validation split is used as one, and a fifth of train for validation")
        return {"train": "train", "validation": "test"}
    if not {"train", "test"} <= set(splits):
        raise ValueError(f"{printable(root)}: found only the split {', '.join(splits)}; expected train and test")
    return {name: name for name in splits}


def same_classes(root: Path, classes: dict[str, list[str]]) -> tuple[str, ...]:
    """The classes that all splits have.

    Raises:
        ValueError: one split lacks a class of another; names it.
    """
    for split, names in classes.items():
        for other, others in classes.items():
            if missing := sorted(set(names) - set(others)):
                raise ValueError(
                    f"{printable(root)}: class {printable(missing[0])} is in {split} and not in {other}; every split needs "
                    "images of every class"
                )
    return tuple(classes["train"])
