"""How time and memory grow: exponents fitted over the number, width and depth of networks, and over images."""

import numpy as np

from datamodules import SourcePairs
from datamodules.noise import Distractor
from datamodules.sources import Builtin
from study.bench.base import REPEATS, SECONDS, Row, Run, repeated, summary, timed
from study.bench.linear_peers import Ours
from study.bench.memory import Memory
from study.bench.problem import Problem

LINEAR = {
    "N": [(N, 32, 4) for N in (64, 128, 256, 512)],
    "d": [(64, d, 4) for d in (32, 64, 96, 128)],
    "L": [(64, 32, L) for L in (2, 4, 8, 16)],
}
IMAGES = (2500, 5000, 10_000, 20_000)


def exponent(sizes: list[int], values: list[float]) -> float:
    """Slope of log value over log size, by least squares."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def training(size: tuple[int, int, int], device: str) -> Run:
    """Updates of a stack."""
    return Ours(Problem(*size, device=device))


def preparing(count: int) -> Run:
    """What a run on images does once: reduce them and take their moments."""

    def prepare() -> None:
        data = SourcePairs(Builtin(), Distractor(), count=count)
        data.setup()
        data.moments()

    return repeated(prepare)


def fitted(case: str, variable: str, sizes: list[int], runs: list[Run], device: str) -> list[Row]:
    """Exponents of time, one per repeat, and of peak memory; sizes are timed in turns."""
    peak = []
    for run in runs:
        run(1)
        with Memory() as memory:
            run(1)
        peak.append(float(memory.peak))
    steps = [max(1, round(SECONDS / timed(run, 1, device))) for run in runs]
    seconds = [[timed(run, n, device) / n for run, n in zip(runs, steps, strict=True)] for _ in range(REPEATS)]
    time = summary([exponent(sizes, values) for values in seconds])
    over = f"{variable} from {sizes[0]} to {sizes[-1]}"
    return [
        Row("scaling", f"{case}, {over}", "time", "exponent", *time, REPEATS),
        Row("scaling", f"{case}, {over}", "peak memory", "exponent", exponent(sizes, peak), 0.0, 1,
            note=f"{peak[0] / 1e6:.3g} to {peak[-1] / 1e6:.3g} MB"),
    ]  # fmt: skip


def rows(device: str, linear: dict[str, list[tuple[int, int, int]]] = LINEAR, images: tuple[int, ...] = IMAGES) -> list[Row]:
    """One update of a linear stack; the preparation of an image set."""
    found = []
    for variable, sizes in linear.items():
        values = [dict(zip(("N", "d", "L"), size, strict=True))[variable] for size in sizes]
        found += fitted("update of a linear stack", variable, values, [training(size, device) for size in sizes], device)
    return found + fitted("preparing images", "images", list(images), [preparing(count) for count in images], "cpu")
