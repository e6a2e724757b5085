"""What every source of samples is."""

import abc
from pathlib import Path

from datamodules.splits import Split


class Source(abc.ABC):
    """Clean samples, with labels or without, in splits."""

    def __str__(self) -> str:
        """What messages call it."""
        return type(self).__name__

    @property
    @abc.abstractmethod
    def shape(self) -> list[int]:
        """Of a sample, such as [3, 16, 16]; known before the samples are read.

        Raises:
            ValueError: one line, where the source cannot be read.
        """

    @property
    def labelled(self) -> bool:
        """Whether its samples are of two classes or more, which a probe needs; known before they are read."""
        return True

    def files(self) -> list[Path]:
        """The files that the samples are read from; their content is part of a run's identity.

        Raises:
            ValueError: one line, where they are missing.
        """
        return []

    @abc.abstractmethod
    def load(self) -> dict[str, Split]:
        """The splits "train", "test" and, where the source has its own, "validation"; what is converted or skipped on the way is said
        on stderr.

        Raises:
            ValueError: one line that names the file and says what was expected.
        """
