"""Runs on this machine: one after the other in this process, or in a pool with a process for every GPU or every few cores."""

import os
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import torch

from datamodules.memory import free_bytes
from study.launch.launcher import Launcher
from study.launch.order import CARRY_OUT, order
from study.launch.parts import split
from study.launch.pool import Place, pool
from study.launch.progress import Progress
from study.launch.release import released
from study.observers.loss import Diverged
from study.running.capacity import HEADROOM, Need
from study.running.device import device_of
from study.running.failed import error_of
from study.running.result import Result
from study.running.run import Run, read, stored


def places(device: str, cores: int) -> list[Place]:
    """Environments of the processes that this machine has room for: each with a GPU of its own, or with so many of the cores."""
    if device == "cuda":
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(torch.cuda.device_count()))))
        return [{"CUDA_VISIBLE_DEVICES": gpu} for gpu in visible.split(",")]
    return [{"OMP_NUM_THREADS": str(cores)}] * (torch.get_num_threads() // cores)


@dataclass(frozen=True)
class Local(Launcher):
    """This machine."""

    def device(self, choice: str) -> str:
        return device_of(choice)

    def launch(
        self, batch: Mapping[str, Run], out: Path, command: str, progress: Progress, cores: int
    ) -> dict[str, Result | Diverged]:
        if len(batch) > 1 and len(places(next(iter(batch.values())).need().device, cores)) > 1:
            return self.at_once(batch, out, command, progress, cores)
        return self.one_by_one(batch, out, command, progress)

    def at_once(
        self, batch: Mapping[str, Run], out: Path, command: str, progress: Progress, cores: int
    ) -> dict[str, Result | Diverged]:
        """In a pool of processes; all runs are done, also where some diverge."""
        folders = {role: run.folder(out) for role, run in batch.items()}
        kept = {role: result for role, folder in folders.items() if (result := stored(folder))}
        for role, result in kept.items():
            progress.end(role, 0.0, result)
        waiting = {role: run for role, run in batch.items() if role not in kept}
        orders = {role: order(run, Path(out), folders[role], command, self.splitting) for role, run in waiting.items()}
        diverged: dict[str, Diverged] = {}
        with closing(pool(orders, room([run.need() for run in waiting.values()], cores), CARRY_OUT)) as answers:
            for role, seconds, failed in answers:
                if failed is None:
                    progress.end(role, seconds, read(folders[role]))
                elif isinstance(error := error_of(failed), Diverged):
                    diverged[role] = error
                else:
                    raise error
        return {role: kept.get(role) or diverged.get(role) or read(folders[role]) for role in batch}

    def one_by_one(self, batch: Mapping[str, Run], out: Path, command: str, progress: Progress) -> dict[str, Result | Diverged]:
        """In this process; ends with the first that diverges."""
        outcomes: dict[str, Result | Diverged] = {}
        for role, run in batch.items():
            start = time.monotonic()
            try:
                with released():
                    result = (split(run) if self.splitting else run).execute(out, command)
            except Diverged as stop:
                return outcomes | {role: stop}
            outcomes[role] = result
            progress.end(role, time.monotonic() - start, result)
        return outcomes


def room(needs: list[Need], cores: int) -> list[Place]:
    """Places for runs of these needs, at most one for each; on a CPU, where they share the memory, at least one."""
    if not needs:
        return []
    found = places(needs[0].device, cores)[: len(needs)]
    if needs[0].device == "cpu":
        largest = max(need.whole for need in needs)
        found = found[: max(1, int(HEADROOM * free_bytes()) // largest)]
    return found
