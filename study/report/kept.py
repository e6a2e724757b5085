"""What was computed of records, kept under <out>/cache: believed only where table, record and code are still the same, and only
where this user's key has signed it. So nobody else's claims or figures are shown as if they came from the tables."""

import contextlib
import hmac
import os
import uuid
from functools import cache
from pathlib import Path

import study
from study.files import checksum, read_regular
from study.launch.store import Record
from study.running import own
from study.terminal import say

LARGEST = 2**26  # bytes of what is read back; a section with its figures has some hundred thousand


def load(record: Record) -> str | None:
    """What was kept of a record, where it is whole, of this record, of its runs' files as they are now, and of this code.

    Raises:
        ValueError, OSError: as a record's key.
    """
    try:
        content = read_regular(_path(record), LARGEST)
    except OSError:  # there is none, or something that can be made again
        return None
    signature, _, made = (content or b"").partition(b"\n")
    expected = _signature(record, made) if made else None
    return made.decode() if expected and hmac.compare_digest(signature, expected) else None


def keep(record: Record, made: str) -> None:
    """Keep what was computed of a record. Where that is impossible, say so once in this process."""
    signature, path = _signature(record, made.encode()), _path(record)
    if signature is None:
        return
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Without waiting for the disk, as what is not whole is not believed.
        partial.write_bytes(signature + b"\n" + made.encode())
        os.replace(partial, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        _note(f"what was computed of {record.path.parent} is not kept: {path.parent}: {error.strerror}")


def key(record: Record) -> str:
    """Checksum of all that a summary depends on; the runs' files are checked.

    Raises:
        ValueError, OSError: as a record's key.
    """
    return checksum(f"{_code()} {record.key}".encode())


def _signature(record: Record, made: bytes) -> bytes | None:
    """Of what was made of a record; None without a key of the user's."""
    secret = own.key()
    return None if secret is None else hmac.digest(secret, key(record).encode() + made, "sha256").hex().encode()


def _path(record: Record) -> Path:
    return record.path.parents[1] / "cache" / record.name / record.path.name


@cache
def _code() -> str:
    """Checksum of the code that makes claims and figures of tables."""
    root = Path(study.__path__[0])
    folders = [*(root / name for name in ("experiments", "theory", "report", "figures")), root.parent / "datamodules"]
    files = [
        root / "running" / "result.py",
        *(path for folder in folders for path in sorted(folder.glob("*.py"))),
    ]
    return checksum(b"".join(path.read_bytes() for path in files))


@cache
def _note(line: str) -> None:
    say(line)
