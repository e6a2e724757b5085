"""What Lightning's Trainer costs: our Learner at the default chunk against a bare loop over the same updates."""

import inspect
import time
from collections.abc import Iterable

from datamodules import GaussianPairs
from models.optimizers import StackedOptimizer
from study.bench.base import REPEATS, Row, repeated, summary, synchronize, timed
from study.bench.lightning_peer import fit
from study.bench.linear_peers import Ours
from study.bench.problem import Problem

CHUNKS = 2  # in one repeat


def default(of: type, name: str) -> int:
    """The default of an argument."""
    return inspect.signature(of).parameters[name].default


class Watched(Ours):
    """Adds up the seconds that `advance` takes, wherever it is called from."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.inside, self.advance = 0.0, self.learner.advance
        self.learner.advance = self.timed  # type: ignore[method-assign]

    def timed(self, batch: Iterable, optimizer: StackedOptimizer) -> None:
        start = time.perf_counter()
        self.advance(batch, optimizer)
        synchronize(self.device.type)
        self.inside += time.perf_counter() - start


def rows(device: str, size: tuple[int, int, int] = (256, 32, 4)) -> list[Row]:
    """Milliseconds per update, in repeats in turn; and the Trainer's overhead within its own repeats: the time that passes
    outside of the updates, which on a GPU are waited for, so that other things the machine does do not count."""
    problem, chunk = Problem(*size, device=device), default(GaussianPairs, "chunk")
    updates = CHUNKS * chunk
    bare = Ours(problem)
    overhead: list[float] = []

    def trained(_: int) -> float:
        watched = Watched(problem)
        seconds = fit(watched.learner, problem.data(updates), device)
        overhead.append(100 * (seconds / watched.inside - 1))
        return seconds

    runs = {"Trainer": trained, "bare loop": repeated(lambda: bare(updates))}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(REPEATS + 1):
        for name, run in runs.items():
            taken = timed(run, 1, device)
            if repeat:  # the first is warm-up
                seconds[name].append(taken)
    per = {name: summary([1e3 * s / updates for s in taken]) for name, taken in seconds.items()}
    reference = "bare loop"
    found = [
        Row("trainer", problem.case, name, "ms per update", *per[name], REPEATS, ratio=per[name][0] / per[reference][0],
            reference=reference, note=f"chunk {chunk}")
        for name in runs
    ]  # fmt: skip
    return [*found, Row("trainer", problem.case, "Trainer's overhead", "% of the updates", *summary(overhead[1:]), REPEATS)]
