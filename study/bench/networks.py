"""Stacks of convolutions and transformers, as `study run networks` trains them: all networks at once against one after the other,
and in float32 against the roundings that a GPU is faster with."""

import itertools
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch

from datamodules import SourcePairs
from datamodules.noise import Distractor
from datamodules.sources import Builtin
from models import Encoder, Learner, Objective, Perceptron
from study.arguments import made
from study.bench.base import Method, Row, Run, measure
from study.experiments.networks import HIDDEN, Cell, Network, encoder, objective

SIZE, BATCH, COUNT = 32, 256, 20_000
STACKS = (1, 3, 16)
NETWORKS: tuple[Network, ...] = ("convolution", "vit")


class Training:
    """VICReg on noisy views, as Lightning drives it, without Lightning."""

    def __init__(self, network: Network, networks: int, device: str, rounding: AbstractContextManager | None = None) -> None:
        seeds = list(range(networks))
        noise = Distractor(directions=128, amplitude=14.0, gamma=0.4, sigma=0.05, kind="patch")
        self.data = SourcePairs(Builtin(SIZE), noise, count=COUNT, seeds=seeds, batch=BATCH)
        self.data.setup()
        stack = made(Encoder, encoder(network, [3, SIZE, SIZE], seeds))
        vicreg = made(Objective, objective(Cell("patch", network, "vicreg")))
        self.learner = Learner(stack, vicreg, 1e-3, "adamw", predictor=Perceptron([HIDDEN])).to(device)
        self.optimizer, self.device = self.learner.configure_optimizers(), torch.device(device)
        self.update, self.rounding = itertools.count(), nullcontext() if rounding is None else rounding

    def __call__(self, steps: int) -> None:
        batches = (self.data.pairs(next(self.update), self.device) for _ in range(steps))
        with self.rounding:
            self.learner.advance(batches, self.optimizer)


def one_by_one(network: Network, networks: int, device: str) -> Run:
    """As many trainings of one network, in turn."""
    trainings = [Training(network, 1, device) for _ in range(networks)]

    def run(steps: int) -> None:
        for training in trainings:
            training(steps)

    return run


def rows(device: str, stacks: tuple[int, ...] = STACKS) -> list[Row]:
    """Updates of one network per second."""
    found = []
    for network, networks in itertools.product(NETWORKS, stacks):
        half = torch.autocast(device, torch.bfloat16)
        methods = [Method("ours", partial(Training, network, networks, device), networks)]
        if networks > 1:
            methods.append(Method("one network after the other", partial(one_by_one, network, networks, device), networks))
        methods.append(Method("ours, products in bfloat16", partial(Training, network, networks, device, half), networks))
        found += measure("networks", f"{network}, N={networks}", methods, "network-updates/s", device)
    return found
