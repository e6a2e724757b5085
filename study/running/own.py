"""The user's own folder, outside of all results: what is in it nobody else wrote."""

import os
import secrets
from functools import cache
from pathlib import Path

from study.files import read_regular
from study.terminal import say

BYTES = 32  # of the key


@cache
def folder() -> Path | None:
    """$XDG_CACHE_HOME/jepa-study or ~/.cache/jepa-study, made where it is missing; None where that is impossible, which is said
    once. Others may not write there."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    path = Path(base if os.path.isabs(base) else os.path.expanduser("~/.cache")) / "jepa-study"
    if not path.is_absolute():
        _without(path, "there is no home folder")
        return None
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.stat()
    except OSError as error:
        _without(path, error.strerror or "cannot be made")
        return None
    if found.st_uid != os.geteuid() or found.st_mode & 0o022:
        _without(path, "others can write there")
        return None
    return path


@cache
def key() -> bytes | None:
    """The user's random key, made where there is none; None where that is impossible, which is said once."""
    own = folder()
    if own is None:
        return None
    path = own / "key"
    try:
        if not path.exists():
            _make(path)
        found = read_regular(path, BYTES)
        private = not path.stat().st_mode & 0o077
    except OSError as error:
        _without(path, error.strerror or "cannot be read")
        return None
    if found is None or len(found) != BYTES or not private:
        _without(path, f"not a private file of {BYTES} bytes; delete it")
        return None
    return found


def _make(path: Path) -> None:
    """Write a new key, whole; where another process was first, leave its key."""
    partial = path.with_name(f"key.{secrets.token_hex(8)}.partial")
    try:
        with open(partial, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(secrets.token_bytes(BYTES))
        os.link(partial, path)
    except FileExistsError:
        pass
    finally:
        partial.unlink(missing_ok=True)


def _without(path: Path, reason: str) -> None:
    say(f"{path}: {reason}; what is computed of results is not kept")
