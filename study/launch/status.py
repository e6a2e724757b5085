"""What became of the runs under a folder: queued, running, done or failed. Reads no table and, of finished runs, nothing."""

import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from study.running import scheduler
from study.running.failed import failed
from study.running.lock import Owner, owner
from study.running.places import TUNING

STATES = ("queued", "running", "done", "failed", "unknown")
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
            held = [name for name in names if any(map(is_run, list(os.scandir(self.out / name))))]
            raise ValueError(f"{out}: no runs of {name!r}; there are runs of: {', '.join(held) or 'nothing'}")
        self.names = names if name is None else [name]

    @cached_property
    def queue(self) -> dict[tuple[str, int], scheduler.Entry] | scheduler.Refused:
        try:
            return scheduler.tasks()
        except scheduler.Refused as error:
            return error

    def __iter__(self) -> Iterator[Row]:
        for name in self.names:
            yield from self.within(name)

    def within(self, folder: str) -> Iterator[Row]:
        for entry in sorted(os.scandir(self.out / folder), key=lambda entry: entry.name):
            run = f"{folder}/{entry.name}"
            if os.path.exists(os.path.join(entry.path, "done")):
                yield Row(run, "done")
            elif is_run(entry):
                yield self.unfinished(run, Path(entry.path))
            elif entry.name == TUNING and entry.is_dir():
                yield from self.within(run)

    def unfinished(self, run: str, folder: Path) -> Row:
        try:
            job, process, failure = scheduler.job_of(folder), owner(folder), failed(folder)
        except ValueError as error:
            return Row(run, "failed", str(error))
        if failure and not process:
            return Row(run, "failed", f"{failure['reason']}{last_words(job)}")
        queue = self.queue if job else {}
        if not isinstance(queue, scheduler.Refused) and job and (task := queue.get(job.key)):
            note = f"job {task.id} {task.state.lower()}: {task.where}"
            return Row(run, "running" if task.active else "queued", note, task, process)
        if process:
            return Row(run, "running", str(process), process=process)
        if isinstance(queue, scheduler.Refused):
            return Row(run, "unknown", f"queue unknown: {queue}")
        return Row(run, "failed", f"ended before it was done{last_words(job)}")


def is_run(entry: os.DirEntry) -> bool:
    return os.path.isdir(entry.path) and not TRACES.isdisjoint(os.listdir(entry.path))


def last_words(job: scheduler.Job | None) -> str:
    return f"; last line of {job.log}: {job.last_words()}" if job else ""


def cancel(rows: list[Row]) -> list[str]:
    """End the runs that wait or are being done: jobs by scancel, processes of this machine by SIGINT, after which none has its
    job requeued. Returns a line for each that is out of reach."""
    scheduler.cancel({row.task.id for row in rows if row.task})
    beyond = []
    for row in rows:
        if row.task:
            continue
        if row.process is None:
            beyond.append(f"{row.run}: {row.note}")
        elif not row.process.near:
            beyond.append(f"{row.run}: cannot end {row.note} from here; give the command there")
        else:
            try:
                row.process.interrupt()
            except PermissionError:
                beyond.append(f"{row.run}: cannot end {row.note}, which is another user's")
    return beyond
