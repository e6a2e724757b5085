"""No update waits for the device: nothing is copied to it that it has not been sent ahead, and nothing is read back.

A device that holds no numbers stands for a GPU: what would be copied between it and this machine is seen on its way. Batches of random
numbers are sent by datamodules.memory.sent, which does not wait on a GPU; tests/models/test_cuda.py has the last word there.
"""

import pytest
import torch
from noisy import noisy
from torch.utils._python_dispatch import TorchDispatchMode

from datamodules import GaussianPairs, Mask, SourcePairs, chosen, memory
from datamodules.noise import Distractor
from datamodules.pairings import Crops
from datamodules.sources import Builtin
from models import EMA, MLP, Joint, Learner, Perceptron, Pixels, SIGReg, Stack, StopGradient, VarianceCovariance
from models.networks import Convolution, ViT

DEVICE = torch.device("meta")
READ = ("_local_scalar_dense", "nonzero", "equal.default", "masked_select", "unique")
SHAPE, SEEDS = [3, 8, 8], [0, 1]


class Watch(TorchDispatchMode):
    """Notes copies to and from the device, results that are read, and what is picked by a mask or by numbers of this machine's."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result, name = operation(*args, **(kwargs or {})), str(operation)
        tensors = [value for value in (*args, result) if isinstance(value, torch.Tensor)]
        if "copy" in name and len({tensor.device for tensor in tensors}) > 1:
            self.found.append(f"{name} {[(tensor.device.type, tuple(tensor.shape)) for tensor in tensors]}")
        if any(read in name for read in READ) and any(tensor.device == DEVICE for tensor in tensors):
            self.found.append(name)
        if name.startswith("aten.index") and len(args) > 1 and isinstance(args[1], list | tuple):
            numbers = [value for value in args[1] if isinstance(value, torch.Tensor)]
            if any(value.device != args[0].device or value.dtype == torch.bool for value in numbers):
                self.found.append(name)
        return result


def gaussian(**options):
    return GaussianPairs([0.5, 0.7, 1.1], [0.9, 0.6, 0.3], updates=20, **options)


def images(kind, mask=None):
    noise = Distractor(kind, directions=16 if kind != "smooth" else 12, amplitude=2.0)
    return SourcePairs(Builtin(8), noise, Crops(0.7), mask, count=200, seeds=SEEDS, batch=16)


def linear():
    return MLP(3, [4], 3, eps=0.5, seeds=SEEDS)


def convolution():
    return Stack(lambda: Convolution(8, widths=[8], features=8), SHAPE, seeds=SEEDS)


def vit():
    return Stack(lambda: ViT(8, patch=4, width=16, depth=1, heads=2, features=8), SHAPE, seeds=SEEDS)


def practice():
    return EMA(0.9, distance="smooth_l1", normalized=True)


def lejepa():
    return Joint(SIGReg(), embedding=8)


def vicreg():
    return Joint(VarianceCovariance(), embedding=8)


CASES = {
    "moments, EMA": (linear, lambda: EMA(0.9), gaussian, {"weight_decay": 0.1, "kappa": 2.0}),
    "moments, AdamW": (linear, StopGradient, gaussian, {"optimizer": "adamw"}),
    "Gaussian samples": (linear, StopGradient, lambda: gaussian(batch=16), {"momentum": 0.5}),
    "MLP": (
        lambda: MLP(192, [16], 8, "relu", seeds=SEEDS),
        EMA,
        lambda: noisy(size=8, count=200, seeds=SEEDS, batch=16, directions=8),
        {},
    ),
    "convolution, SIGReg, patches": (convolution, lejepa, lambda: images("patch"), {"predictor": True, "optimizer": "adamw"}),
    "convolution, teacher, smooth": (
        convolution,
        practice,
        lambda: images("smooth"),
        {"predictor": True, "schedule": "cosine", "warmup": 2},
    ),
    "transformer, MAE, masked": (vit, Pixels, lambda: images("global", Mask(4, 0.5)), {"predictor": True}),
    "transformer, VICReg, global": (vit, vicreg, lambda: images("global"), {"predictor": True, "optimizer": "adamw"}),
}


@pytest.mark.parametrize("case", CASES)
def test_an_update_copies_nothing_to_the_device_and_reads_nothing_from_it(case, monkeypatch):
    encoder, objective, pairs, options = CASES[case]
    data = pairs()
    data.setup()
    if options.get("predictor"):
        options = {**options, "predictor": Perceptron([16])}
    learner = Learner(encoder(), objective(), 1e-3, **options).to(DEVICE)
    optimizer = learner.configure_optimizers(10)
    monkeypatch.setattr(memory, "sent", lambda tensor, device: torch.empty_like(tensor, device=device))
    learner.advance((data.pairs(update, DEVICE) for update in range(2)), optimizer)  # images go to the device
    with Watch() as watch:
        learner.advance((data.pairs(update, DEVICE) for update in range(2, 4)), optimizer)
    directions = "(8, 256)"  # of SIGReg, which sends them itself
    assert [found for found in watch.found if directions not in found] == []


def test_samples_go_once_to_a_device_that_has_another_name_there(monkeypatch):
    data, device, sent = images("global"), torch.device("cpu:0"), []
    data.setup()
    assert torch.zeros(1).to(device).device != device
    monkeypatch.setattr(chosen.Chosen, "to", lambda self, device: sent.append(device))
    for update in range(3):
        data.pairs(update, device)
    assert sent == [device] * len(data.counts)


def test_a_copy_a_reading_and_a_mask_are_seen():
    values = torch.ones(3, device=DEVICE)
    with Watch() as watch:
        torch.ones(3).to(DEVICE)
        values[torch.tensor([0, 1])]
        torch.nonzero(torch.ones(2))
    assert len(watch.found) == 2
