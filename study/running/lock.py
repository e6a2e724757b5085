"""One process per run: a lock that dies with its owner, also on another machine, and what is known of its owner."""

import errno
import fcntl
import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple

import psutil

from study.terminal import say

HELD = (BlockingIOError, PermissionError)  # EAGAIN or EACCES, as the system likes
RUN, SHOWN = 0, 1  # bytes of the file: the first is the lock; the second tells others, who may test it without taking the first
BOOT, NAMESPACE = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")

_holding: dict[Path, int] = {}  # locks of this process: folder -> descriptor of the file


class Owner(NamedTuple):
    """A process, told from all others that have, or had, its number: also from those of another container on a machine of the
    same name."""

    process: int
    host: str
    system: str  # what numbers its processes: one boot of a machine, one namespace of it
    started: float
    command: list[str]

    @classmethod
    def here(cls) -> "Owner":
        """This process."""
        me = psutil.Process()
        return cls(me.pid, socket.gethostname(), _system(), me.create_time(), me.cmdline())

    @property
    def near(self) -> bool:
        """Whether its number means the same process here."""
        return (self.host, self.system) == (socket.gethostname(), _system())

    def interrupt(self) -> None:
        """Send it SIGINT, where it is `near` and has not ended: its number can be a stranger's by now.

        Raises:
            PermissionError: it is another user's.
        """
        assert self.near
        try:
            found = psutil.Process(self.process)
            if (found.create_time(), found.cmdline()) == (self.started, self.command):
                found.send_signal(signal.SIGINT)
        except psutil.NoSuchProcess:
            pass
        except psutil.AccessDenied as error:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM)) from error

    def __str__(self) -> str:
        return f"process {self.process} on {self.host}"


@cache
def _system() -> str:
    """Empty where the system has no such names."""
    boot = BOOT.read_text().strip() if BOOT.exists() else ""
    return f"{boot} {os.readlink(NAMESPACE)}" if os.path.lexists(NAMESPACE) else boot


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold <path>/lock while the block runs. POSIX record locks work on NFS too, and the kernel drops them when the process
    ends, however it ends; the file itself stays and means nothing.

    Raises:
        ValueError: another process has it, says which; or the file system has no locks.
    """
    _check_regular(path / "lock")
    with (path / "lock").open("a+") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, RUN)
        except HELD as error:
            file.seek(0)
            raise ValueError(
                f"{path}: {_owner(file.read()) or 'another process'} is doing this run; wait for it, or end it, and start again"
            ) from error
        except OSError as error:
            raise no_locks(path, error) from error
        file.seek(0)
        file.truncate()
        json.dump(Owner.here()._asdict(), file)
        file.flush()
        fcntl.lockf(file, fcntl.LOCK_EX, 1, SHOWN)  # waits for those who test it
        _holding[path] = file.fileno()
        try:
            yield
        finally:
            del _holding[path]


def check_held(path: Path) -> None:
    """To be called by the holder of <path>/lock before it writes what counts: a file that was deleted locks nobody out, and
    another process can have begun the same run.

    Raises:
        ValueError: the file is not the one that is locked.
    """
    mine = os.fstat(_holding[path])
    try:
        there = os.stat(path / "lock")
    except FileNotFoundError:
        there = None
    if there is None or (there.st_dev, there.st_ino) != (mine.st_dev, mine.st_ino):
        raise ValueError(
            f"{path}/lock: deleted while this process was doing the run, so another may do it too; this one stops and leaves what "
            "was written; wait for the other, or start again"
        )


@contextmanager
def in_turn(path: Path) -> Iterator[None]:
    """Hold the lock in a file while the block runs, after whoever holds it now, which is said. The file itself stays and means
    nothing.

    Raises:
        ValueError: the file system has no locks, or the file is none.
    """
    _check_regular(path)
    with path.open("a") as file:
        try:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except HELD:
                say(f"{path}: waiting for another process that holds it")
                fcntl.lockf(file, fcntl.LOCK_EX)
        except OSError as error:
            raise no_locks(path, error) from error
        yield


def owner(path: Path) -> Owner | None:
    """Which other process holds <path>/lock, if one does. Not for the holder itself: POSIX locks end where their process closes
    the file anywhere.

    Raises:
        ValueError: the file system has no locks, or the file is damaged.
    """
    lock = path / "lock"
    if not os.path.lexists(lock):
        return None
    _check_regular(lock)
    with lock.open() as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, SHOWN)
        except HELD:
            if found := _owner(file.read()):  # written before this byte is locked
                return found
            raise ValueError(f"{lock}: damaged, does not say which process holds it; end that process") from None
        except OSError as error:
            raise no_locks(path, error) from error
    return None


def _check_regular(path: Path) -> None:
    """Raises ValueError: something else than a file is in a lock's place; a pipe would be waited for without end."""
    if os.path.lexists(path) and not path.is_file():
        raise ValueError(f"{path}: expected a file, found a folder, pipe, device or broken link; remove it")


def _owner(text: str) -> Owner | None:
    """Who wrote this into a lock; none where it is half written or damaged."""
    try:
        return Owner(**json.loads(text))
    except (ValueError, TypeError):
        return None


def no_locks(path: Path, error: OSError) -> ValueError:
    return ValueError(f"{path}: its file system has no locks ({error.strerror}); give --out a folder on one that has")
