"""One process per run: a lock that dies with its owner, also on another machine."""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

HELD = (BlockingIOError, PermissionError)  # EAGAIN or EACCES, as the system likes
RUN, SHOWN = 0, 1  # bytes of the file: the first is the lock; the second tells others, who may test it without taking the first


class Owner(NamedTuple):
    process: int
    host: str

    @property
    def here(self) -> bool:
        return self.host == socket.gethostname()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold <path>/lock while the block runs. POSIX record locks work on NFS too, and the kernel drops them when the process
    ends, however it ends; the file itself stays and means nothing.

    Raises:
        ValueError: another process has it, says which; or the file system has no locks.
    """
    with (path / "lock").open("a+") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, RUN)
        except HELD as error:
            file.seek(0)
            owner = file.read().strip() or "another process"
            raise ValueError(f"{path}: {owner} is doing this run; wait for it, or end it, and start again") from error
        except OSError as error:
            raise no_locks(path, error) from error
        file.seek(0)
        file.truncate()
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        fcntl.lockf(file, fcntl.LOCK_EX, 1, SHOWN)  # waits for those who test it
        yield


@contextmanager
def in_turn(path: Path) -> Iterator[None]:
    """Hold the lock in a file while the block runs, after whoever holds it now. The file itself stays and means nothing.

    Raises:
        ValueError: the file system has no locks.
    """
    with path.open("a") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX)
        except OSError as error:
            raise no_locks(path, error) from error
        yield


def owner(path: Path) -> Owner | None:
    """Which other process holds <path>/lock, if one does. Not for the holder itself: POSIX locks end where their process closes
    the file anywhere.

    Raises:
        ValueError: the file system has no locks.
    """
    lock = path / "lock"
    if not lock.exists():
        return None
    with lock.open() as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, SHOWN)
        except HELD:
            _, process, _, host = file.read().split()  # written before this byte is locked
            return Owner(int(process), host)
        except OSError as error:
            raise no_locks(path, error) from error
    return None


def no_locks(path: Path, error: OSError) -> ValueError:
    return ValueError(f"{path}: its file system has no locks ({error.strerror}); give --out a folder on one that has")
