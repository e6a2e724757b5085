"""What Lightning's Trainer costs: our Learner at the default chunk against a bare loop over the same updates."""

import inspect

from datamodules import GaussianPairs
from study.bench.base import REPEATS, Row, repeated, summary, timed
from study.bench.lightning_peer import fit
from study.bench.linear_peers import Ours
from study.bench.problem import Problem

CHUNKS = 2  # in one repeat


def default(of: type, name: str) -> int:
    """The default of an argument."""
    return inspect.signature(of).parameters[name].default


def rows(device: str, size: tuple[int, int, int] = (256, 32, 4)) -> list[Row]:
    """Milliseconds per update, and the overhead from pairs of neighbouring repeats."""
    problem, chunk = Problem(*size, device=device), default(GaussianPairs, "chunk")
    updates = CHUNKS * chunk
    bare = Ours(problem)

    def trained(_: int) -> float:
        return fit(problem.learner(), problem.data(updates), device)

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
    overhead = summary([100 * (a / b - 1) for a, b in zip(*seconds.values(), strict=True)])
    return [*found, Row("trainer", problem.case, "Trainer's overhead", "% of the bare loop", *overhead, REPEATS)]
