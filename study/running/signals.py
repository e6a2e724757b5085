"""Signals that ask a process to end: a scheduler's warning before it preempts or ends a job, `study cancel`, Ctrl-C,
the end of the terminal.

Kept free of torch, so that a job catches them while it still imports.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from study.running.scheduler import Refused, command
from study.terminal import say

ASKING = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT, signal.SIGHUP)


def asking() -> list[signal.Signals]:
    """Those that this process heeds: not a terminal's end, where it was started by nohup."""
    return [number for number in ASKING if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN]


class Preempted(BaseException):
    """A signal ended the work; what was done is kept. Like KeyboardInterrupt no Exception, as it can come anywhere; but Lightning
    lets it through, where it would end the process itself."""

    def __init__(self, number: int) -> None:
        super().__init__(f"interrupted by {signal.Signals(number).name}")
        self.number = number


def _raise(number: int, frame: FrameType | None) -> None:
    raise Preempted(number)


@contextmanager
def caught() -> Iterator[None]:
    """While the block runs, a signal that asks for the end raises Preempted in it."""
    before = {number: signal.signal(number, _raise) for number in asking()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def requeue(received: int) -> None:
    """Have SLURM start this process's job again, where it has one. Further signals are ignored, as the process ends now.

    Not after SIGINT, by which a user ends it. Not where the scheduler itself ends the job, be it by scancel or to start it
    again: then it is no longer RUNNING.
    """
    if received == signal.SIGINT or "SLURM_JOB_ID" not in os.environ:
        return
    for number in ASKING:
        signal.signal(number, signal.SIG_IGN)
    job = os.environ["SLURM_JOB_ID"]
    if "SLURM_ARRAY_JOB_ID" in os.environ:  # the number of one task's job can be that of the whole array
        job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    try:
        if command("squeue", "--noheader", "--format=%T", f"--jobs={job}").strip() == "RUNNING":
            command("scontrol", "requeue", job)
    except Refused as error:
        say(f"job {job} is not requeued: {error}")
