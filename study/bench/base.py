"""How everything here is timed: repeats of all methods in turns, medians, and the machine's peaks in the same run."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

REPEATS = 9
SECONDS = 0.3  # of one repeat, where one step does not take longer
LIMIT = 30.0  # seconds for all repeats of a method, beyond which it is left out
MOST = 20_000  # steps in a repeat

Run = Callable[[int], float | None]  # makes so many steps; may return the seconds to count, such as those without start-up


@dataclass(frozen=True)
class Row:
    """One measurement of one method.

    Attributes:
        median, spread: of the repeats, in `unit`; spread is the distance between the quartiles.
        flop, bytes: per unit of work, counted from shapes: what the formula needs, whatever a method does besides.
        share: of the machine's peak in [0, 1]: the larger of arithmetic / matmul peak and bytes / copy peak.
        ratio: median over that of the method `reference` in the same run.
        compile_seconds: how much longer the first step took than the second.
        note: why there is no number, or what belongs to it.
    """

    benchmark: str
    case: str
    method: str
    unit: str
    median: float | None = None
    spread: float | None = None
    repeats: int = 0
    flop: float | None = None
    bytes: float | None = None
    share: float | None = None
    ratio: float | None = None
    reference: str | None = None
    compile_seconds: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Method:
    """A way to do the work. `make` prepares it, and raises ModuleNotFoundError where a peer is not installed."""

    name: str
    make: Callable[[], Run]
    units: float = 1.0  # of work in one step


@dataclass(frozen=True)
class Peaks:
    """What this machine reaches in this run: FLOP/s of a large matmul, bytes/s read and written by a large copy."""

    flops: float
    bandwidth: float

    def share(self, rate: float, flop: float | None, moved: float | None) -> float | None:
        """Share of the nearer peak at `rate` units/s."""
        shares = [n * rate / peak for n, peak in ((flop, self.flops), (moved, self.bandwidth)) if n is not None]
        return max(shares, default=None)


def peak_rows(peak: Peaks, benchmark: str, device: str) -> list[Row]:
    """The peaks themselves, with the number of threads they were measured with."""
    case = f"{device}, {torch.get_num_threads()} threads"
    return [
        Row(benchmark, case, "peak: matmul", "flop/s", peak.flops),
        Row(benchmark, case, "peak: copy", "bytes/s", peak.bandwidth),
    ]


def synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def timed(run: Run, steps: int, device: str) -> float:
    """Seconds that `steps` steps take, at least a nanosecond."""
    synchronize(device)
    start = time.perf_counter()
    own = run(steps)
    synchronize(device)
    return max(1e-9, time.perf_counter() - start if own is None else own)


def peaks(device: str, dtype: torch.dtype = torch.float32) -> Peaks:
    """Peaks of the device: best of the repeats, because a peak is what nothing disturbed."""
    size, count = (8192, 2**28) if device == "cuda" else (1024, 2**24)
    a, b = torch.randn(2, size, size, dtype=dtype, device=device)
    source, copy = torch.ones(2, count, dtype=dtype, device=device)
    found = []
    for work in (lambda: torch.mm(a, b), lambda: copy.copy_(source)):
        run = repeated(work)
        run(2)
        found.append(min(timed(run, 3, device) / 3 for _ in range(REPEATS)))
    return Peaks(2 * size**3 / found[0], 2 * source.nbytes / found[1])


def repeated(step: Callable[[], object]) -> Run:
    """Steps that are all alike."""

    def run(steps: int) -> None:
        for _ in range(steps):
            step()

    return run


def fitting(seconds: float) -> int:
    """How many steps of so many seconds make a repeat."""
    return min(MOST, max(1, round(SECONDS / seconds)))


def summary(samples: list[float]) -> tuple[float, float]:
    """Median and distance between the quartiles."""
    low, median, high = np.percentile(samples, [25, 50, 75])
    return float(median), float(high - low)


def measure(
    benchmark: str,
    case: str,
    methods: list[Method],
    unit: str,
    device: str,
    peak: Peaks | None = None,
    flop: float | None = None,
    moved: float | None = None,
) -> list[Row]:
    """Rates of the methods in units/s; the first one is the reference. Repeats are interleaved, so that what else the
    machine does hits all alike."""
    missing, ready = {}, {}
    for method in methods:
        try:
            run = method.make()
        except ModuleNotFoundError as error:
            missing[method.name] = f"not installed: {error.name} (pip install '.[bench]')"
            continue
        first, second = timed(run, 1, device), timed(run, 1, device)
        if second * REPEATS > LIMIT:
            missing[method.name] = f"left out: one step takes {second:.1f} s"
            continue
        steps = fitting(second)
        steps = fitting(timed(run, steps, device) / steps)  # one step alone also pays for what a call pays once
        ready[method.name] = (run, steps, max(0.0, first - second))
    samples: dict[str, list[float]] = {name: [] for name in ready}
    for _ in range(REPEATS):
        for name, (run, steps, _) in ready.items():
            samples[name].append(timed(run, steps, device) / steps)
    rates = {m.name: summary([m.units / s for s in samples[m.name]]) for m in methods if m.name in ready}
    reference = methods[0].name
    rows = []
    for method in methods:
        if method.name not in rates:
            rows.append(Row(benchmark, case, method.name, unit, note=missing[method.name]))
            continue
        median, spread = rates[method.name]
        rows.append(
            Row(
                benchmark, case, method.name, unit, median, spread, REPEATS, flop, moved,
                peak.share(median, flop, moved) if peak else None,
                median / rates[reference][0] if reference in rates else None, reference, ready[method.name][2],
            )
        )  # fmt: skip
    return rows
