"""Decoded pictures on disk, which the next start maps into memory and need not decode; they may be deleted at any time.

<name>.bin in the user's own folder holds the pixels of all splits, <name>.json what they were made of, and the checksum of both.
"""

import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import torch
from jaxtyping import UInt8
from torch import Tensor

from datamodules.messages import printable, reason, say


@dataclass(frozen=True)
class Decoded:
    """The pictures of all splits of a source, one split after the other."""

    images: UInt8[Tensor, "n 3 size size"]
    left_out: dict[str, list[int]]  # by split: numbers of the pictures that could not be decoded
    said: list[str]  # what was converted and left out


def place(name: str) -> Path | None:
    """$XDG_CACHE_HOME/jepa-study/images/<name> or ~/.cache/..., its folder made where it is missing; None where that is impossible
    or others can write there."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    folder = Path(base if os.path.isabs(base) else os.path.expanduser("~/.cache")) / "jepa-study" / "images"
    if not folder.is_absolute():  # there is no home folder
        return None
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = [path.stat() for path in (folder, folder.parent)]
    except OSError:
        return None
    return folder / name if all(s.st_uid == os.geteuid() and not s.st_mode & 0o022 for s in found) else None


def recall(path: Path, made_of: str, size: int) -> Decoded | None:
    """What was kept there of just that; nothing else. Where it is damaged, that is said."""
    try:
        head = json.loads(path.with_suffix(".json").read_bytes())
        if head["made_of"] != made_of:
            return None
        pixels = path.with_suffix(".bin")
        shape = (-1, 3, size, size)
        # Private: nothing that is written to the tensor reaches the file. It is mapped before it is checked, as another process may
        # replace it.
        images = torch.from_file(str(pixels), shared=False, size=pixels.stat().st_size, dtype=torch.uint8).view(shape)
        found = Decoded(images, head["left_out"], head["said"])
        if head["sha256"] != _checksum(made_of, found):
            raise ValueError("another checksum")
    except FileNotFoundError:
        return None
    except (
        OSError,
        ValueError,
        TypeError,
        KeyError,
        RuntimeError,
    ) as error:  # the last is torch's, of a file that it cannot map
        say(f"{printable(path)}: kept pictures are damaged ({reason(error)}); they are decoded again")
        return None
    return found


def keep(path: Path, made_of: str, decoded: Decoded) -> None:
    """Each file is replaced as a whole; whoever reads one beside another's finds another checksum."""
    head = {"made_of": made_of, "left_out": decoded.left_out, "said": decoded.said, "sha256": _checksum(made_of, decoded)}
    try:
        with _whole(path.with_suffix(".bin")) as file:
            file.write(decoded.images.numpy().data)
        with _whole(path.with_suffix(".json")) as file:
            file.write(json.dumps(head).encode())
    except OSError as error:
        say(f"{printable(path)}: decoded pictures could not be kept ({reason(error)}); the next start decodes them again")


@contextmanager
def _whole(path: Path) -> Iterator[BinaryIO]:
    partial = path.with_name(f"{path.name}.{secrets.token_hex(8)}.partial")
    try:
        with open(partial, "xb") as file:
            yield file
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _checksum(made_of: str, decoded: Decoded) -> str:
    total = hashlib.sha256(json.dumps([made_of, decoded.left_out, decoded.said]).encode())
    total.update(decoded.images.numpy().data)
    return total.hexdigest()
