"""What became of the runs under a folder: queued, running, done or failed. Reads no table and, of finished runs, nothing."""

import json
import os
import signal
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from study.running import scheduler
from study.running.lock import Owner, owner

STATES = ("queued", "running", "done", "failed")
TRACES = {"job.json", "lock", "config.yaml"}  # one of them is in the folder of every run that was begun or submitted


class Row(NamedTuple):
    """One run. `task` is its place in SLURM's queue, `process` who is doing it."""

    run: str
    state: str
    note: str = ""
    task: scheduler.Entry | None = None
    process: Owner | None = None


class Runs:
    """The runs of an experiment, or of all, under the folder of results.

    Raises:
        ValueError: there is no such folder.
    """

    def __init__(self, out: Path, name: str | None) -> None:
        self.out = Path(out)
        if not self.out.is_dir():
            raise ValueError(f"{out}: no such folder; give --out the folder of results")
        names = sorted(entry.name for entry in os.scandir(self.out) if entry.is_dir())
        if name is not None and name not in names:
            raise ValueError(f"{out}: no runs of {name!r}; there are runs of: {', '.join(names)}")
        self.names = names if name is None else [name]

    @cached_property
    def queue(self) -> dict[tuple[str, int], scheduler.Entry]:
        return scheduler.tasks()

    def __iter__(self) -> Iterator[Row]:
        for name in self.names:
            for entry in sorted(os.scandir(self.out / name), key=lambda entry: entry.name):
                run = f"{name}/{entry.name}"
                if os.path.exists(os.path.join(entry.path, "done")):
                    yield Row(run, "done")
                elif entry.is_dir() and TRACES & set(os.listdir(entry.path)):
                    yield self.unfinished(run, Path(entry.path))

    def unfinished(self, run: str, folder: Path) -> Row:
        job, process = scheduler.job_of(folder), owner(folder)
        if job and (task := self.queue.get(job.key)):
            note = f"job {task.id} {task.state.lower()}: {task.where}"
            return Row(run, "running" if task.active else "queued", note, task, process)
        if process:
            return Row(run, "running", f"process {process.process} on {process.host}", process=process)
        failed = folder / "failed.json"
        reason = json.loads(failed.read_text())["reason"] if failed.exists() else "ended before it was done"
        return Row(run, "failed", f"{reason}; last line of {job.log}: {job.last_words()}" if job else reason)


def cancel(rows: list[Row]) -> list[str]:
    """End the runs that wait or are being done: jobs by scancel, processes of this machine by SIGTERM. Returns a line for each
    that is out of reach."""
    scheduler.cancel({row.task.id for row in rows if row.task})
    beyond = []
    for row in rows:
        if row.task is None and row.process:
            if row.process.here:
                os.kill(row.process.process, signal.SIGTERM)
            else:
                beyond.append(f"{row.run}: cannot end {row.note} from here; give the command there")
    return beyond
