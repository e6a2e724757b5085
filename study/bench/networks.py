"""Stacks of convolutions and transformers, as `study run networks` trains them: all networks at once against one after the other,
and in float32 against the roundings that a GPU is faster with."""

import itertools
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch

from datamodules import SourcePairs
from datamodules.noise import Distractor
from datamodules.sources import Builtin
from models import Joint, Learner, Perceptron, Stack, VarianceCovariance
from models.networks import Convolution, ViT
from study.bench.base import Method, Row, Run, measure

SIZE, BATCH, COUNT, FEATURES = 32, 256, 20_000, 512
STACKS = (1, 3, 16)
NETWORKS: dict[str, Callable[..., torch.nn.Module]] = {
    "convolution": partial(Convolution, widths=[64, 64], features=FEATURES),
    "vit": partial(ViT, width=48, depth=2, heads=4, features=FEATURES),
}


class Training:
    """VICReg on noisy views, as Lightning drives it, without Lightning."""

    def __init__(self, network: str, networks: int, device: str, rounding: AbstractContextManager | None = None) -> None:
        seeds = list(range(networks))
        noise = Distractor(directions=128, amplitude=14.0, gamma=0.4, sigma=0.05, kind="patch")
        self.data = SourcePairs(Builtin(SIZE), noise, count=COUNT, seeds=seeds, batch=BATCH)
        self.data.setup()
        encoder = Stack(partial(NETWORKS[network], SIZE), [3, SIZE, SIZE], seeds=seeds)
        objective = Joint(VarianceCovariance(variance=50.0), embedding=128)
        self.learner = Learner(encoder, objective, 1e-3, "adamw", predictor=Perceptron([512])).to(device)
        self.optimizer, self.device = self.learner.configure_optimizers(), torch.device(device)
        self.update, self.rounding = itertools.count(), nullcontext() if rounding is None else rounding

    def __call__(self, steps: int) -> None:
        batches = (self.data.pairs(next(self.update), self.device) for _ in range(steps))
        with self.rounding:
            self.learner.advance(batches, self.optimizer)


def one_by_one(network: str, networks: int, device: str) -> Run:
    """As many trainings of one network, in turn."""
    made = [Training(network, 1, device) for _ in range(networks)]

    def run(steps: int) -> None:
        for training in made:
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
