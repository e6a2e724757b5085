"""What was computed of records, kept under <out>/cache: believed only where table, record and code are still the same."""

import json
from functools import cache
from pathlib import Path

import study
from study.running.files import checksum
from study.running.store import Record
from study.terminal import say


def load(record: Record) -> str | None:
    """What was kept of a record, where it is whole, of this record, of its runs' files as they are now, and of this code.

    Raises:
        ValueError, OSError: as a record's key.
    """
    path = _path(record)
    if not path.exists():
        return None
    expected = key(record)
    try:
        content = json.loads(path.read_bytes())
        whole = content["key"] == expected and content["sha256"] == checksum(content["summary"].encode())
    except (ValueError, KeyError, TypeError, AttributeError):  # damaged: it can be made again
        return None
    return content["summary"] if whole else None


def keep(record: Record, made: str) -> None:
    """Keep what was computed of a record. Where that is impossible, say so once in this process."""
    path = _path(record)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # In place and without waiting for the disk, as what is not whole is not believed.
        path.write_text(json.dumps({"key": key(record), "sha256": checksum(made.encode()), "summary": made}))
    except OSError as error:
        _note(f"what was computed of {record.path.parent} is not kept: {path.parent}: {error.strerror}")


def key(record: Record) -> str:
    """Checksum of all that a summary depends on; the runs' files are checked.

    Raises:
        ValueError, OSError: as a record's key.
    """
    return checksum(f"{_code()} {record.key}".encode())


def _path(record: Record) -> Path:
    return record.path.parents[1] / "cache" / record.name / record.path.name


@cache
def _code() -> str:
    """Checksum of the code that makes claims and figures of tables."""
    root = Path(study.__path__[0])
    folders = [*(root / name for name in ("experiments", "theory", "report")), root.parent / "datamodules"]
    files = [root / "running" / "result.py", *(path for folder in folders for path in sorted(folder.glob("*.py")))]
    return checksum(b"".join(path.read_bytes() for path in files))


@cache
def _note(line: str) -> None:
    say(line)
