"""Files of results: written whole or not at all, known by their checksums, and named when they are damaged."""

import contextlib
import hashlib
import json
import math
import os
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Have an OSError of the block name this path: of a full disk the system does not say which file it was.

    Raises:
        OSError: as in the block.
    """
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def write(path: Path, content: str | bytes) -> None:
    """Write a file so that it is either whole or as it was before, whatever happens meanwhile.

    Raises:
        OSError: names the file.
    """
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}.partial")  # another process may write the same file
    with naming(path):
        try:
            partial.write_bytes(content.encode() if isinstance(content, str) else content)
            flush(partial)
            os.replace(partial, path)
        except BaseException:  # a signal, too
            partial.unlink(missing_ok=True)
            raise


def flush(path: Path) -> None:
    """Make a file, or a folder's list of names, outlast a power failure."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def checksum(content: bytes) -> str:
    """SHA-256 in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        ValueError: it is damaged; names the file.
    """
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:  # of the text's encoding, too
        raise ValueError(f"{path}: damaged, not readable as JSON ({error})") from error


def strict_json(content: Any) -> str:
    """JSON that every parser reads: it has no infinity and nothing that is not a number, for which null is written."""
    return json.dumps(_finite(content), indent=1, allow_nan=False)


def _finite(content: Any) -> Any:
    if isinstance(content, dict):
        return {name: _finite(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def read_regular(path: Path, most: int) -> bytes | None:
    """What a regular file of at most so many bytes holds; None for anything else, for which it never waits.

    Raises:
        OSError: it cannot be read, or is a link.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        fine = stat.S_ISREG(found.st_mode) and found.st_size <= most
        return open(descriptor, "rb", closefd=False).read() if fine else None
    finally:
        os.close(descriptor)


def component(name: object, source: Path) -> str:
    """The name of one file or folder that `source` holds, and nothing that leads elsewhere.

    Raises:
        ValueError: it is not such a name.
    """
    if not isinstance(name, str) or name != Path(name).name or name in ("", "..") or "\0" in name:
        raise ValueError(f"{source}: expected the name of a folder beside it, without a path, found {name!r}")
    return name


def supported(found: object, supports: int, path: Path) -> None:
    """Refuse files of other versions.

    Raises:
        ValueError: names the file, its format and the newest that can be read.
    """
    if not isinstance(found, int) or found < 1:
        raise ValueError(f"{path}: damaged, expected the number of its format, found {found!r}")
    if found > supports:
        raise ValueError(f"{path}: its format is {found}, and this version reads {supports}; update the program to read it")
    if found < supports:
        raise ValueError(
            f"{path}: its format is {found}, of an earlier version, and this one reads {supports}; give another --out, and run again"
        )
