"""Do an experiment on this machine: its runs one after the other, each a stack; then its record."""

import time
from pathlib import Path

import torch
from rich.console import Console

from study.experiments.base import Experiment, Results
from study.running import store
from study.running.parts import split
from study.running.run import Result, Run
from study.running.training import Diverged


def device_of(choice: str) -> str:
    """The device a choice of auto, cpu or cuda means here.

    Raises:
        ValueError: cuda was asked for and there is none.
    """
    if choice == "cuda" and not torch.cuda.is_available():
        raise ValueError("device cuda was asked for, but torch sees no CUDA device here; give --device cpu or auto")
    return ("cuda" if torch.cuda.is_available() else "cpu") if choice == "auto" else choice


def perform(experiment: Experiment, out: Path, command: str, console: Console, splitting: bool = False) -> Results:
    """Carry out the plan, printing one line per run, and record which runs make up the experiment. A stack that does not
    fit into memory is refused, or done in parts where `splitting`."""
    start = time.monotonic()
    results: Results = {}
    plan = experiment.plan()
    batch = next(plan)
    while batch:
        try:
            for role, run in batch.items():
                results[role] = _timed(role, split(run) if splitting else run, out, command, console)
        except Diverged as stop:
            console.print(f"  {role}: {stop}", style="yellow", highlight=False)
            batch = plan.throw(stop)
            continue
        try:
            batch = plan.send(results)
        except StopIteration:
            break
    store.record(experiment, results, out, command, time.monotonic() - start)
    return results


def _timed(role: str, run: Run, out: Path, command: str, console: Console) -> Result:
    start = time.monotonic()
    result = run.execute(out, command)
    console.print(f"  {role:<24} {time.monotonic() - start:6.1f} s  {result.path}", highlight=False, soft_wrap=True)
    return result
