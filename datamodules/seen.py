"""What a file looks like without being read: where that is as it was, so is taken to be what is in it."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

SETTLED = 2.0  # seconds after which a change of a file changes its times, whatever the file system's clock counts


class Look(NamedTuple):
    """A file's name, bytes, time of its content and of its last change in ns, which only the system sets, and its number, which is
    another one where the file was replaced. Its device is none of it: a network's file system has another one on each machine."""

    name: str
    size: int
    modified: int
    changed: int
    number: int


def look(files: Iterable[Path]) -> tuple[Look, ...]:
    """Of each file, under its absolute name.

    Raises:
        OSError: there is none.
    """
    seen = ((str(path.absolute()), path.stat()) for path in files)
    return tuple(Look(name, s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino) for name, s in seen)


def settled(looks: Iterable[Look], start: float) -> bool:
    """Whether each was last changed so long before `start`, in seconds, that a change from then on is seen. One right after reading
    could leave sizes and times as they are."""
    return all(each.changed < (start - SETTLED) * 1e9 for each in looks)
