"""Noisy pixels: a ReLU MLP trained by our Learner on SourcePairs against DataLoader, PIL and torchvision transforms."""

from dataclasses import replace
from functools import lru_cache, partial

import torch

from datamodules import SourcePairs
from datamodules.noise import Distractor
from datamodules.sources import Builtin
from models import MLP, Learner, StopGradient
from study.bench.base import Method, Row, measure, peaks
from study.bench.pixel_peer import Pipeline

SIZES, STACKS, WORKERS = [768, 256, 64], (1, 8), (0, 2)
BATCH, LR, MOMENTUM = 128, 1e-4, 0.9
SIZE, COUNT = 16, 20_000
DIRECTIONS, AMPLITUDE, GAMMA, SIGMA = 128, 14.0, 0.4, 0.05
DATA = {"size": SIZE, "directions": DIRECTIONS, "amplitude": AMPLITUDE, "gamma": GAMMA, "sigma": SIGMA, "count": COUNT}


class Ours:
    """Learner and SourcePairs as Lightning drives them, without Lightning."""

    def __init__(self, networks: int, device: str) -> None:
        seeds = list(range(networks))
        noise = Distractor(directions=DIRECTIONS, amplitude=AMPLITUDE, gamma=GAMMA, sigma=SIGMA)
        self.data = SourcePairs(Builtin(SIZE), noise, count=COUNT, seeds=seeds, batch=BATCH)
        self.data.setup()
        encoder = MLP(SIZES[0], SIZES[1:-1], SIZES[-1], "relu", eps=0.36, seeds=seeds)
        self.learner = Learner(encoder, StopGradient(), LR, momentum=MOMENTUM).to(device)
        self.optimizer, self.device = self.learner.configure_optimizers(), torch.device(device)

    def __call__(self, steps: int) -> None:
        batches = (self.data.pairs(update, self.device) for update in range(steps))
        self.learner.advance(batches, self.optimizer)


def flop() -> float:
    """Of one image: the distractor of both views; x forward, y forward, gradients of weights and of hidden units."""
    inputs, hidden, features = SIZES
    K = DIRECTIONS
    return 2.0 * (2 * inputs * K + 3 * inputs * hidden + 4 * hidden * features + 3 * features**2)


@lru_cache
def pipeline(device: str, workers: int) -> Pipeline:
    return Pipeline(dict(DATA), SIZES, LR, MOMENTUM, BATCH, workers, device)


def rows(device: str, workers: tuple[int, ...] = WORKERS) -> list[Row]:
    """Images per second and, from the same timings, milliseconds per step of one network."""
    peak, found = peaks(device), []
    for networks in STACKS:
        methods = [Method("ours", partial(Ours, networks, device), networks * BATCH)]
        methods += [
            Method(f"DataLoader, {n} workers, Lightning, one run per network", partial(pipeline, device, n), BATCH)
            for n in workers
        ]
        found += measure("pixels", f"N={networks}", methods, "images/s", device, peak, flop())
    return [*found, *(per_step(row) for row in found)]


def per_step(row: Row) -> Row:
    """The same measurement as time; the spread to first order."""
    if row.median is None or row.spread is None or row.ratio is None:
        return replace(row, unit="ms per network-step")
    time = 1e3 * BATCH / row.median
    return replace(
        row, unit="ms per network-step", median=time, spread=time * row.spread / row.median, ratio=1 / row.ratio,
        flop=BATCH * flop(), compile_seconds=None,
    )  # fmt: skip
