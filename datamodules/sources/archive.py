"""Samples in one file of numpy's: nothing in it is run."""

import abc
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import ClassVar

import numpy as np

from datamodules.messages import printable, reason
from datamodules.sources.source import Source


class Archive(Source):
    """A source that is one file.

    Args:
        root: the file.
    """

    expected: ClassVar[str]  # what the file is to hold, in words

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def __str__(self) -> str:
        return str(self.root)

    @abc.abstractmethod
    def _arrays(self) -> dict[str, np.ndarray]:
        """What the file holds, by name."""

    @property
    def labelled(self) -> bool:
        return len(np.unique(self._arrays().get("labels", []))) > 1

    def files(self) -> list[Path]:
        if not self.root.is_file():
            raise ValueError(f"{printable(self.root)}: no such file; {self.expected}")
        return [self.root]


def read(root: Path, names: Collection[str], expected: str) -> tuple[dict[str, np.ndarray], list[str]]:
    """The arrays of these names in an .npz file, or "x", mapped, of an .npy file; and the names of what else it holds.

    Raises:
        ValueError: one line that says why it cannot be read, and what was expected.
    """
    try:
        found = np.load(root, mmap_mode="c", allow_pickle=False)  # what is written to it reaches no file
        if isinstance(found, np.ndarray):
            return {"x": found}, []
        with found:
            return {name: found[name] for name in names if name in found}, sorted(set(found) - set(names))
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        # numpy's words advise to load it without protection.
        why = "holds Python objects, which can run code" if "pickle" in str(error) or "bject" in str(error) else reason(error)
        raise ValueError(f"{printable(root)}: cannot be read ({why}); {expected}") from error
