"""What SLURM says of jobs, and what it is told to do with them, through its own commands.

A run that was handed to SLURM has `job.json` in its folder: the name of its job array, the number of its task in it, and
the log. The array's name is known before it is submitted, so that a run can be found in the queue whatever happens to the
process that submitted it.
"""

import json
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

COLUMNS = "%j|%F|%K|%T|%N|%r"
ACTIVE = {"RUNNING", "COMPLETING", "SUSPENDED", "STOPPED"}


class Job(NamedTuple):
    """Where in which array a run is."""

    array: str
    task: int
    log: str

    @property
    def key(self) -> tuple[str, int]:
        return self.array, self.task

    def last_words(self) -> str:
        """The last line of its log that is not empty."""
        log = Path(self.log)
        lines = log.read_text(errors="replace").split("\n") if log.exists() else []
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


class Entry(NamedTuple):
    """A task in SLURM's queue."""

    id: str
    state: str
    where: str  # the node where it runs, or why it waits

    @property
    def active(self) -> bool:
        return self.state in ACTIVE


def job_of(folder: Path) -> Job | None:
    """How a run was handed to SLURM, if it was."""
    path = Path(folder) / "job.json"
    return Job(**json.loads(path.read_text())) if path.exists() else None


def command(name: str, *arguments: str, given: str = "") -> str:
    """What one of SLURM's commands prints, given this input.

    Raises:
        ValueError: there is no such command, or it refuses; in its own words.
    """
    if shutil.which(name) is None:
        raise ValueError(
            f"this machine has no command {name}; work on a login node of the cluster, or install the SLURM client"
        )
    done = subprocess.run([name, *arguments], input=given, capture_output=True, text=True)
    if done.returncode:
        raise ValueError(
            " ".join(done.stderr.replace(f"{name}: error: ", "").split()) or f"{name} ended with exit code {done.returncode}"
        )
    return done.stdout


def tasks() -> dict[tuple[str, int], Entry]:
    """The user's array tasks in the queue, by the array's name and the task's number.

    Raises:
        ValueError: the scheduler does not answer.
    """
    found = {}
    for line in command("squeue", "--me", "--noheader", "--array", f"--format={COLUMNS}").splitlines():
        name, array, task, state, node, reason = line.split("|")
        if task.isdecimal():
            found[name, int(task)] = Entry(f"{array}_{task}", state, node or reason)
    return found


def cancel(ids: set[str]) -> None:
    """Take tasks out of the queue, and end those that run."""
    if ids:
        command("scancel", *sorted(ids))
