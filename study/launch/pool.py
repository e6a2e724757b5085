"""A pool of processes that carry out orders."""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import ExitStack, suppress
from subprocess import PIPE
from typing import IO, Any

Place = dict[str, str]  # what is set in the environment of one process


def pool(orders: dict[str, dict[str, Any]], places: list[Place], carry_out: str) -> Generator[tuple[str, float, Any]]:
    """Carry out orders, one process in each place; yields their names as they end, with seconds and the answer of the function
    `carry_out`, which is given as module:name.

    Plain processes with pipes: multiprocessing's would outlive a parent that is killed.

    Raises:
        ChildProcessError: a process ended early. However this ends early, the processes get SIGTERM and are waited for.
    """
    todo = iter(orders.items())
    busy: dict[IO[str], tuple[subprocess.Popen[str], str, float]] = {}  # answers -> their worker, its order, when it began

    def give(worker: subprocess.Popen[str]) -> None:
        assert worker.stdin is not None and worker.stdout is not None
        if (item := next(todo, None)) is None:
            finish(worker)
            return
        busy[worker.stdout] = worker, item[0], time.monotonic()
        try:
            print(json.dumps(item[1]), file=worker.stdin, flush=True)
        except BrokenPipeError:
            finish(worker)
            raise lost(worker, item[0]) from None

    with ExitStack() as stack:
        command = [sys.executable, "-m", "study.launch.worker", carry_out]
        workers = [
            stack.enter_context(
                subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True, env=os.environ | environment() | place)
            )
            for place in places
        ]
        try:
            for worker in workers:
                give(worker)
            while busy:
                for answers in select.select(list(busy), [], [])[0]:
                    worker, role, start = busy.pop(answers)
                    answer = answers.readline()
                    if not answer:
                        raise lost(worker, role)
                    yield role, time.monotonic() - start, json.loads(answer)
                    give(worker)
        except BaseException:
            for worker in workers:
                worker.terminate()
            for worker in workers:
                finish(worker)  # where the signal came between two lines of code that heed none
                worker.wait()
            raise


def finish(worker: subprocess.Popen[str]) -> None:
    """No more orders: it ends after the one that it has."""
    assert worker.stdin is not None
    with suppress(BrokenPipeError):  # closing tries again to write what a process that is gone did not take
        worker.stdin.close()


def lost(worker: subprocess.Popen[str], role: str) -> ChildProcessError:
    return ChildProcessError(f"{role}: its process ended with exit code {worker.wait()} before it was done")


def environment() -> dict[str, str]:
    """Has another process of Python find the modules that this one finds, and not those of the folder that it starts in."""
    return {"PYTHONPATH": os.pathsep.join(os.path.abspath(place) for place in sys.path), "PYTHONSAFEPATH": "1"}
