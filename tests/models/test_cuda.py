"""What holds on a GPU only."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from noisy import noisy

from datamodules import GaussianPairs
from models import EMA, MLP, Learner, Pixels, StopGradient, fused

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device here")
UPDATES = 20


@contextmanager
def synchronisation_is_an_error() -> Iterator[None]:
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def linear(d: int, device: str, target: object, **options: object) -> tuple[Learner, Iterator[dict[str, torch.Tensor]]]:
    data = GaussianPairs(torch.linspace(0.5, 1.5, d).tolist(), torch.linspace(0.9, 0.3, d).tolist(), updates=UPDATES)
    data.setup()
    encoder = MLP(d, [d + 1], d, eps=0.5, seeds=[0, 1, 2])
    made = Learner(encoder, target, lr=[0.1, 0.05, 0.02], **options).to(device)
    return made, iter([data.pairs(0, torch.device(device))] * UPDATES)


@pytest.mark.parametrize("d", [8, 31, 63, 100])
@pytest.mark.parametrize("target", [StopGradient, Pixels])
@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.1, "kappa": 2.0}, {"momentum": 0.5}, {"optimizer": "adamw"}])
def test_training_is_that_of_the_cpu_without_synchronisation(d, target, options):
    found, exact = [], []
    for device, weights in (("cuda", found), ("cpu", exact)):
        made, batch = linear(d, device, target(), **options)
        if device == "cuda":
            applied = fused.applies([*made.encoder.layers, made.predictor.weight])
            assert applied == (d < 64)
        optimizer = made.configure_optimizers()
        for group in optimizer.param_groups:
            group["lr"] = group["lr"].cpu()  # as Lightning leaves it after loading a checkpoint
        made.advance(batch, optimizer)  # compiles
        made, batch = linear(d, device, target(), **options)
        optimizer = made.configure_optimizers()
        if device == "cuda":
            with synchronisation_is_an_error():
                made.advance(batch, optimizer)
        else:
            made.advance(batch, optimizer)
        weights += [p.detach().cpu() for p in (*made.encoder.layers, made.predictor.weight)] + [made.losses.cpu()]
    for a, b in zip(found, exact, strict=True):
        assert (a - b).abs().max() <= 1e-5 * b.abs().max()


@pytest.mark.parametrize("target", [StopGradient, EMA, Pixels])
def test_noisy_pixels_are_made_and_learnt_without_synchronisation(target):
    data = noisy(size=8, directions=8, amplitude=1.0, gamma=0.4, sigma=0.05, count=200, seeds=[0, 1], batch=16)
    data.setup()
    encoder = MLP(192, [16], 8, "relu", eps=0.3, seeds=[0, 1])
    made = Learner(encoder, target(), 1e-3, momentum=0.9).to("cuda")
    optimizer, device = made.configure_optimizers(), torch.device("cuda")
    made.advance((data.pairs(update, device) for update in range(2)), optimizer)  # images go to the device
    with synchronisation_is_an_error():
        made.advance((data.pairs(update, device) for update in range(2, 5)), optimizer)
    assert made.finite().all()
