"""What SLURM says of jobs, and what it is told to do with them, through its own commands.

A run that was handed to SLURM has `job.json` in its folder: the name of its job array and the number of its task in it. The
log is <out>/jobs/<array>/<task>.log. The array's name is known before it is submitted, so that a run can be found in the
queue whatever happens to the process that submitted it.
"""

import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from study.files import component, read_json, shown
from study.running.places import TUNING

COLUMNS = "%F|%K|%T|%N|%r|%j"  # the name last, as other jobs of the user's can have a | in it
TASKS = 4_000_001  # of an array, at most
TAIL = 4096  # bytes at the end of a log that are searched for its last line
ACTIVE = {"RUNNING", "COMPLETING", "SUSPENDED", "STOPPED"}


class Refused(ValueError):
    """SLURM does not answer, or does not do what it was told."""


class Job(NamedTuple):
    """Where in which array a run is."""

    array: str
    task: int
    log: Path

    @property
    def key(self) -> tuple[str, int]:
        return self.array, self.task

    def last_words(self) -> str:
        """The last line of its log that is not empty."""
        if not self.log.is_file():
            return ""
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - TAIL))
            lines = file.read().decode(errors="replace").split("\n")
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
    """How a run was handed to SLURM, if it was.

    Raises:
        ValueError: `job.json` is damaged.
    """
    path = folder / "job.json"
    if not os.path.lexists(path):
        return None
    match read_json(path):
        case {"array": str(array), "task": int(task)} if not isinstance(task, bool) and 0 <= task < TASKS:
            experiment = folder.parents[1] if folder.parent.name == TUNING else folder.parent
            return Job(array, task, experiment.parent / "jobs" / component(array, path) / f"{task}.log")
        case found:
            raise ValueError(f"{path}: damaged, expected array and task, found {shown(found)}; delete it and run again")


def command(name: str, *arguments: str, given: str = "") -> str:
    """What one of SLURM's commands prints, given this input.

    Raises:
        Refused: there is no such command, or it refuses; in its own words.
    """
    if shutil.which(name) is None:
        raise Refused(f"this machine has no command {name}; work on a login node of the cluster, or install the SLURM client")
    done = subprocess.run([name, *arguments], input=given, capture_output=True, text=True)
    if done.returncode:
        words = " ".join(done.stderr.replace(f"{name}: error: ", "").split())
        raise Refused(f"{name}: {words or f'ended with exit code {done.returncode}'}")
    return done.stdout


def tasks() -> dict[tuple[str, int], Entry]:
    """The user's array tasks in the queue, by the array's name and the task's number.

    Raises:
        Refused: the scheduler does not answer.
    """
    found = {}
    for line in command("squeue", "--me", "--noheader", "--array", f"--format={COLUMNS}").splitlines():
        array, task, state, node, reason, name = line.split("|", 5)
        if task.isdecimal():
            found[name, int(task)] = Entry(f"{array}_{task}", state, node or reason)
    return found


def cancel(ids: set[str]) -> None:
    """Take tasks out of the queue, and end those that run."""
    if ids:
        command("scancel", *sorted(ids))
