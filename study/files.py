"""Files of results: written whole or not at all, known by their checksums, and named when they are damaged."""

import contextlib
import hashlib
import json
import math
import os
import reprlib
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LARGEST = 10**300  # number in a file, which a float can hold
NAME = 255  # bytes of a file's name that file systems take


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


def content(path: Path | str) -> bytes:
    """What a file holds. Folders, devices and pipes, which could be waited for without end, are refused.

    Raises:
        ValueError: it is no regular file.
        OSError: there is none, or it cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe is opened without waiting for who writes into it
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError(f"{path}: damaged, expected a regular file, found a folder, pipe or device; remove it")
        with open(descriptor, "rb", buffering=0, closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        ValueError: it is damaged, has a key twice, or is no regular file; names the file.
    """
    text = content(path)
    try:
        found = json.loads(text, object_pairs_hook=_once, parse_constant=_constant)
        if b"\\u" in text:
            json.dumps(found, ensure_ascii=False).encode()  # half of a pair of surrogates could not be written anywhere
    except (ValueError, RecursionError) as error:  # of the text's encoding, too
        raise ValueError(f"{path}: damaged, not readable as JSON ({shown(str(error))})") from error
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is there twice")
    return found


def _constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def shown(value: object) -> str:
    """A value from a file, short enough for one line."""
    return " ".join(value.split())[:200] if isinstance(value, str) else reprlib.repr(value)[:200]


def number(value: object) -> bool:
    """Whether a value from a file is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST


def count(value: object) -> bool:
    """Whether a value from a file is an integer from 0 on that fits into 63 bits."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


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
        raise ValueError(f"{source}: expected the name of a folder beside it, without a path, found {reprlib.repr(name)}")
    if len(name.encode()) > NAME:
        raise ValueError(f"{source}: expected the name of a folder beside it, found one of {len(name):,} characters")
    return name


def supported(found: object, supports: int, path: Path) -> None:
    """Refuse files of other versions.

    Raises:
        ValueError: names the file, its format and the newest that can be read.
    """
    if not count(found) or found == 0:
        raise ValueError(f"{path}: damaged, expected the number of its format, found {shown(found)}")
    assert isinstance(found, int)
    if found > supports:
        raise ValueError(f"{path}: its format is {found}, and this version reads {supports}; update the program to read it")
    if found < supports:
        raise ValueError(
            f"{path}: its format is {found}, of an earlier version, and this one reads {supports}; give another --out, and run again"
        )
