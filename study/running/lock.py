"""One process per run: a lock that dies with its owner, also on another machine."""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold <path>/lock while the block runs. POSIX record locks work on NFS too, and the kernel drops them when the process
    ends, however it ends; the file itself stays and means nothing.

    Raises:
        ValueError: another process has it; says which.
    """
    with (path / "lock").open("a+") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            owner = file.read().strip() or "another process"
            raise ValueError(f"{path}: {owner} is doing this run; wait for it, or end it, and start again") from error
        file.seek(0)
        file.truncate()
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield
