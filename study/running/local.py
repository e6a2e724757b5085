"""Runs on this machine: one after the other in this process, or in a pool with a process for every GPU or every few cores."""

import os
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console

from study.running.capacity import HEADROOM, free_bytes
from study.running.launcher import Launcher, report
from study.running.order import error_of, order
from study.running.parts import split
from study.running.pool import Place, pool
from study.running.run import Result, Run, read
from study.running.training import Diverged

CORES = 4  # of a process of the pool: on fewer, one process that uses all cores is as fast and starts at once


def device_of(choice: str) -> str:
    """The device a choice of auto, cpu or cuda means here.

    Raises:
        ValueError: cuda was asked for and there is none.
    """
    if choice == "cuda" and not torch.cuda.is_available():
        raise ValueError("device cuda was asked for, but torch sees no CUDA device here; give --device cpu or auto")
    return ("cuda" if torch.cuda.is_available() else "cpu") if choice == "auto" else choice


def places(runs: list[Run]) -> list[Place]:
    """The environments of as many processes as can do these runs at a time: each its own GPU, or some cores of the CPU."""
    needs = [run.need() for run in runs]
    if needs[0].device == "cuda":
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(torch.cuda.device_count()))))
        return [{"CUDA_VISIBLE_DEVICES": gpu} for gpu in visible.split(",")]
    most = HEADROOM * free_bytes("cpu") // max(need.networks * need.each for need in needs)  # processes share the memory
    return [{"OMP_NUM_THREADS": str(CORES)}] * int(min(torch.get_num_threads() // CORES, most))


@dataclass(frozen=True)
class Local(Launcher):
    """This machine."""

    def device(self, choice: str) -> str:
        return device_of(choice)

    def launch(self, batch: Mapping[str, Run], out: Path, command: str, console: Console) -> dict[str, Result | Diverged]:
        folders = {role: run.folder(out) for role, run in batch.items()}
        waiting = [role for role, folder in folders.items() if not (folder / "done").exists()]
        at_once = places([batch[role] for role in waiting])[: len(waiting)] if len(waiting) > 1 else []
        if len(at_once) < 2:
            return self.one_by_one(batch, out, command, console)
        orders = {role: order(batch[role], folders[role], command, self.splitting) for role in waiting}
        outcomes: dict[str, Result | Diverged] = {}
        with closing(pool(orders, at_once)) as answers:
            for role, seconds, failed in answers:
                if failed is None:
                    report(role, seconds, folders[role], console)
                elif isinstance(error := error_of(failed), Diverged):
                    outcomes[role] = error
                else:
                    raise error
        return {role: outcomes.get(role) or read(folders[role]) for role in batch}

    def one_by_one(self, batch: Mapping[str, Run], out: Path, command: str, console: Console) -> dict[str, Result | Diverged]:
        """In this process; ends with the first that diverges."""
        outcomes: dict[str, Result | Diverged] = {}
        for role, run in batch.items():
            start = time.monotonic()
            try:
                outcomes[role] = (split(run) if self.splitting else run).execute(out, command)
            except Diverged as stop:
                return outcomes | {role: stop}
            report(role, time.monotonic() - start, run.folder(out), console)
        return outcomes
