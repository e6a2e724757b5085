"""What does the runs of an experiment, and the one place where an experiment's plan is followed."""

import abc
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from study.console import Console
from study.experiments.base import Experiment, Results
from study.launch import store
from study.launch.progress import Progress
from study.observers.loss import Diverged
from study.running.result import Result
from study.running.run import Run


@dataclass(frozen=True)
class Launcher(abc.ABC):
    """Does batches of independent runs.

    Args:
        splitting: do stacks that do not fit into memory in parts.
    """

    splitting: bool = False

    @abc.abstractmethod
    def device(self, choice: str) -> str:
        """The device, cpu or cuda, that a choice of auto, cpu or cuda means where the runs are done.

        Raises:
            ValueError: there is no such device.
        """

    @abc.abstractmethod
    def launch(
        self, batch: Mapping[str, Run], out: Path, command: str, progress: Progress, cores: int
    ) -> dict[str, Result | Diverged]:
        """Results by role; of runs that diverge, the error. Prints one line for each run that is done, or was done before.

        Args:
            batch: by role.
            out: folder of results.
            command: recorded with each.
            progress: prints.
            cores: up to so many make a run faster.

        Raises:
            ValueError, Stalled: as the runs do.
            ChildProcessError: a process ended before its run was done, without a reason.
        """


def perform(
    experiment: Experiment, launcher: Launcher, out: Path, command: str, console: Console, logging: Mapping[str, Any]
) -> Results:
    """Carry out the plan, its runs logged so, and record which runs make up the experiment."""
    start = time.monotonic()
    results: Results = {}
    plan = experiment.plan()
    batch = next(plan)
    progress = Progress(console, experiment.run_count(), experiment.expected_seconds())
    progress.begin(f"{experiment.name} on {experiment.device}")
    while batch:
        progress.expect(len(batch))
        runs = {role: run.logged(dict(logging)) for role, run in batch.items()}
        outcomes = launcher.launch(runs, out, command, progress, experiment.cores)
        results |= {role: outcome for role, outcome in outcomes.items() if isinstance(outcome, Result)}
        diverged = {role: outcome for role, outcome in outcomes.items() if isinstance(outcome, Diverged)}
        for role, stop in diverged.items():
            console.print(f"  {role}: {stop}", style="yellow")
            stop.role = role
            batch = plan.throw(stop)
        if not diverged:
            try:
                batch = plan.send(results)
            except StopIteration:
                break
        batch = {role: run for role, run in batch.items() if role not in results}
    store.record(experiment, results, out, command, time.monotonic() - start)
    return results
