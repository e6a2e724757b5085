"""What each observer costs at its default settings, as a percentage of training time."""

import math
import time
from collections.abc import Callable

from lightning import Callback, Trainer

from datamodules import Pairs, SourcePairs
from datamodules.noise import Distractor
from datamodules.sources import Builtin
from models import MLP, Learner, StopGradient
from study.bench.base import Row, summary, synchronize
from study.bench.problem import Problem
from study.bench.trainer import default
from study.observers import Alignment, Health, Loss, Probe, Table
from study.observers.observer import Observer

CHUNK, MEASUREMENTS = 10, 7  # updates from one measurement to the next, and measurements; the first is warm-up


class Stopwatch:
    """Seconds of every call of an observer's hooks."""

    def __init__(self, observer: Observer, device: str) -> None:
        self.once, self.each, self.device = 0.0, [], device  # type: float, list[float], str
        self.start_hook, self.end_hook = observer.on_train_start, observer.on_train_batch_end
        observer.on_train_start = self.timed(self.start_hook, self.preparing)  # type: ignore[method-assign]
        observer.on_train_batch_end = self.timed(self.end_hook, self.each.append)  # type: ignore[method-assign]

    def preparing(self, seconds: float) -> None:
        self.once = seconds

    def timed(self, hook: Callable, note: Callable[[float], None]) -> Callable:
        def run(*arguments: object) -> None:
            synchronize(self.device)
            start = time.perf_counter()
            hook(*arguments)
            synchronize(self.device)
            note(time.perf_counter() - start)

        return run


class Steps(Callback):
    """Seconds of every chunk of updates, observers left out. The first callback at the start, the last one before them."""

    def __init__(self, device: str) -> None:
        self.seconds: list[float] = []
        self.device = device

    def on_train_batch_start(self, *_: object) -> None:
        synchronize(self.device)
        self.start = time.perf_counter()

    def on_train_batch_end(self, *_: object) -> None:
        synchronize(self.device)
        self.seconds.append(time.perf_counter() - self.start)


def cost(case: str, learner: Learner, data: Pairs, kinds: list[type[Observer]], device: str) -> list[Row]:
    """One training with all observers, each measuring after every chunk; its cost is set against the updates that lie
    between two measurements by default."""
    steps, observers = Steps(device), [kind(every=CHUNK) for kind in kinds]
    watches = [Stopwatch(observer, device) for observer in observers]
    trainer = Trainer(
        accelerator=device, devices=1, max_epochs=1, callbacks=[Table(), steps, *observers], logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(learner, datamodule=data)
    update = summary(steps.seconds[1:])[0] / CHUNK
    rows = [Row("observers", case, "training", "ms per update", 1e3 * update, repeats=len(steps.seconds) - 1)]
    for kind, watch in zip(kinds, watches, strict=True):
        # A run's loss is recorded, and its weights are checked, after every chunk.
        every = default(type(data), "chunk") if kind is Loss else default(kind, "every")
        median, spread = summary([100 * s / (every * update) for s in watch.each[1:]])
        note = f"every {every} updates: {1e3 * median * every * update / 100:.3g} ms; once: {1e3 * watch.once:.3g} ms"
        rows.append(Row("observers", case, kind.__name__, "% of training", median, spread, len(watch.each) - 1, note=note))
    return rows


def rows(device: str, networks: tuple[int, int] = (256, 5)) -> list[Row]:
    """A stack of deep linear networks on exact moments, and of MLPs on noisy pixels."""
    problem, updates = Problem(networks[0], 32, 4, device), CHUNK * MEASUREMENTS
    linear = problem.data(updates)
    linear.chunk = CHUNK
    seeds = list(range(networks[1]))
    pixels = SourcePairs(Builtin(), Distractor(), seeds=seeds, updates=updates, chunk=CHUNK)
    encoder = MLP(math.prod(pixels.source.shape), [256], 64, "relu", eps=0.36, seeds=seeds)
    mlp = Learner(encoder, StopGradient(), 1e-4, momentum=0.9)
    return [
        *cost(f"linear {problem.case}", problem.learner(), linear, [Loss, Alignment, Health], device),
        *cost(f"pixels MLP N={networks[1]}", mlp, pixels, [Loss, Alignment, Probe, Health], device),
    ]
