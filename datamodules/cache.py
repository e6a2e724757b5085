"""Decoded pictures on disk, which the next start maps into memory and need not decode; they may be deleted at any time.

A file of the user's own folder holds the pixels of all splits, then a header of what they were made of, then the header's length. It is
written under another name and takes its own when it is whole, so of several processes that make one the last one's stays. Its time is
set to one that the header names: whatever is written to it later sets another, so it is believed without being read. Where a file
changes by itself, its time does not tell; that is for the file system to notice.
"""

import json
import os
import secrets
import struct
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from datamodules import memory
from datamodules.messages import printable, reason, say

LENGTH = struct.Struct(">Q")  # of the header, in bytes
DAY = 86_400.0  # seconds after which a file that is not whole belongs to a process that was killed


@dataclass(frozen=True)
class Decoded:
    """The pictures of all splits of a source, one split after the other. They cannot be written to."""

    images: UInt8[Tensor, "n 3 size size"]
    left_out: dict[str, list[int]]  # by split: numbers of the pictures that could not be decoded
    said: list[str]  # what was converted and left out


def place(name: str) -> Path | None:
    """$XDG_CACHE_HOME/jepa-study/images/<name> or ~/.cache/..., its folder made where it is missing; None where that is impossible
    or others can write there, which is said."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    folder = Path(base if os.path.isabs(base) else os.path.expanduser("~/.cache")) / "jepa-study" / "images"
    why = "others can write there"
    try:
        if not folder.is_absolute():
            raise OSError(0, "there is no home folder")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = [path.stat() for path in (folder, folder.parent)]
        if all(s.st_uid == os.geteuid() and not s.st_mode & 0o022 for s in found):
            return folder / name
    except OSError as error:
        why = reason(error)
    say(f"{printable(folder)}: {why}; decoded pictures are not kept, and each start decodes them into memory")
    return None


def recall(path: Path, made_of: str, size: int) -> Decoded | None:
    """What was kept there of just that; nothing else. Where it is damaged, that is said."""
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            file.seek(-LENGTH.size, os.SEEK_END)
            (length,) = LENGTH.unpack(file.read())
            file.seek(-LENGTH.size - length, os.SEEK_END)
            head = json.loads(file.read(length))
            if status.st_mtime_ns != head["written"]:
                raise ValueError("changed since it was written")
            if status.st_size != head["images"] * 3 * size**2 + length + LENGTH.size:
                raise ValueError("of another size")
            if head["made_of"] != made_of:
                return None
            return Decoded(_mapped(file, head["images"], size), head["left_out"], head["said"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        say(f"{printable(path)}: kept pictures are damaged ({reason(error)}); they are decoded again")
        return None


class Room:
    """Room for decoded pictures, one after the other: a file that is not whole yet, on disk or in memory.

    Args:
        file: the file.
        size: side of the pictures.
        path: the name that it is to get; None in memory.
    """

    def __init__(self, file: BinaryIO, size: int, path: Path | None) -> None:
        self.file, self.size, self.path, self.count = file, size, path, 0

    def add(self, image: UInt8[Tensor, "3 size size"]) -> None:
        self.file.write(image.contiguous().numpy().data)
        self.count += 1

    def images(self) -> UInt8[Tensor, "n 3 size size"]:
        """What was added; it stays where the file is deleted."""
        self.file.flush()
        return _mapped(self.file, self.count, self.size)

    def keep(self, made_of: str, left_out: dict[str, list[int]], said: list[str]) -> None:
        """Give the file, of which nothing more is written, its name. Where that fails, it is said."""
        if self.path is None:
            return
        written = time.time_ns() // 10**9 * 10**9  # file systems have whole seconds in common
        header = {"written": written, "images": self.count, "made_of": made_of, "left_out": left_out, "said": said}
        text = json.dumps(header).encode()
        try:
            self.file.seek(self.count * 3 * self.size**2)
            self.file.truncate()  # what was reserved for pictures that are left out
            self.file.write(text + LENGTH.pack(len(text)))
            self.file.flush()
            os.fsync(self.file.fileno())  # or the name could outlive a power cut that the pixels do not
            os.utime(self.file.fileno(), ns=(written, written))
            os.replace(self.file.name, self.path)
        except OSError as error:
            say(
                f"{printable(self.path)}: decoded pictures could not be kept ({reason(error)}); the next start decodes them again"
            )


@contextmanager
def room(path: Path | None, what: str, most: int, size: int) -> Iterator[Room]:
    """Room for so many pictures: in a file that is to be named `path` or, without one or without space on its disk, in memory.

    Args:
        path: the name.
        what: what they are, for messages.
        most: how many pictures.
        size: their side.

    Raises:
        ValueError: they fit into memory no more than on the disk.
    """
    need = most * 3 * size**2
    reserved = path and _reserved(path, need)
    if reserved is None:
        memory.check(what, need, "give a smaller --size or use fewer")
        path = None
    with reserved or open(os.memfd_create("pictures"), "w+b") as file:
        try:
            yield Room(file, size, path)
        finally:
            if path:
                Path(file.name).unlink(missing_ok=True)


def _reserved(path: Path, need: int) -> BinaryIO | None:
    """A file of so many bytes beside `path`; None where that is impossible, which is said. Older ones that are not whole go."""
    try:
        for old in path.parent.glob("*.partial"):
            if time.time() - old.stat().st_mtime > DAY:
                old.unlink()
        file = open(path.with_name(f"{path.name}.{secrets.token_hex(8)}.partial"), "x+b")  # noqa: SIM115 - the caller closes it
        try:
            os.posix_fallocate(file.fileno(), 0, need)  # or the disk would turn out to be full when much is decoded
        except OSError:
            file.close()
            os.unlink(file.name)
            raise
    except OSError as error:
        say(
            f"{printable(path)}: no room for {need:,} bytes of decoded pictures ({reason(error)}); they are kept in memory alone"
        )
        return None
    return file


def _mapped(file: BinaryIO, count: int, size: int) -> UInt8[Tensor, "n 3 size size"]:
    """So many pictures at the beginning of a file, read-only: what only reads a map takes no memory that the system cannot have back."""
    pixels = np.memmap(file, np.uint8, "r", shape=(count, 3, size, size))
    with warnings.catch_warnings(action="ignore"):  # torch warns of tensors that cannot be written to
        return torch.from_numpy(pixels)
