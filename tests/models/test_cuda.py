"""What holds on a GPU only."""

import io
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import pytest
import torch
from noisy import noisy

from datamodules import GaussianPairs, random
from models import EMA, MLP, Joint, Learner, Perceptron, Pixels, SIGReg, Stack, StopGradient, fused
from models.networks import Convolution

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device here")
UPDATES = 20


@contextmanager
def synchronisation_is_an_error() -> Iterator[None]:
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def on_this_machine(state: dict) -> dict:
    """As a checkpoint is read."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, map_location="cpu")


def linear(
    d: int, device: str, target: object, dtype: str, **options: object
) -> tuple[Learner, Iterator[dict[str, torch.Tensor]]]:
    data = GaussianPairs(torch.linspace(0.5, 1.5, d).tolist(), torch.linspace(0.9, 0.3, d).tolist(), updates=UPDATES)
    data.setup()
    encoder = MLP(d, [d + 1], d, eps=0.5, seeds=[0, 1, 2], dtype=dtype)
    made = Learner(encoder, target, lr=[0.1, 0.05, 0.02], **options).to(device)
    return made, iter([data.pairs(0, torch.device(device))] * UPDATES)


@pytest.mark.parametrize("d", [8, 31, 63, 100])
@pytest.mark.parametrize("target", [StopGradient, Pixels])
@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.1, "kappa": 2.0}, {"momentum": 0.5}, {"optimizer": "adamw"}])
def test_training_is_that_of_the_cpu_without_synchronisation(d, target, options):
    found, exact = [], []
    # Adam's steps have the size of the rate also where a gradient is nothing but rounding.
    dtype = "float64" if "optimizer" in options else "float32"
    for device, weights in (("cuda", found), ("cpu", exact)):
        made, batch = linear(d, device, target(), dtype, **options)
        if device == "cuda":
            applied = fused.applies([*made.encoder.layers, made.predictor.weight])
            assert applied == (d < 64 and dtype == "float32")
        made.advance(batch, made.configure_optimizers())  # compiles
        made, batch = linear(d, device, target(), dtype, **options)
        optimizer = made.configure_optimizers()
        optimizer.load_state_dict(on_this_machine(optimizer.state_dict()))
        with synchronisation_is_an_error() if device == "cuda" else nullcontext():
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


def test_a_stack_of_convolutions_is_trained_as_on_the_cpu_without_synchronisation():
    found = []
    for device in map(torch.device, ("cuda", "cpu")):
        data = noisy(size=8, directions=8, amplitude=1.0, gamma=0.4, sigma=0.05, count=200, seeds=[0, 1], batch=16)
        data.setup()
        encoder = Stack(lambda: Convolution(8, widths=[8], features=8), [3, 8, 8], seeds=[0, 1])
        made = Learner(encoder, Joint(SIGReg(), embedding=8), 1e-3, momentum=0.9, predictor=Perceptron([16])).to(device)
        optimizer = made.configure_optimizers()
        made.advance((data.pairs(update, device) for update in range(2)), optimizer)
        with synchronisation_is_an_error() if device.type == "cuda" else nullcontext():
            made.advance((data.pairs(update, device) for update in range(2, 5)), optimizer)
        found.append(made.losses.cpu())
    torch.testing.assert_close(*found, rtol=1e-3, atol=0)


@pytest.mark.parametrize(("rows", "columns", "first"), [(1, 1, 0), (700, 7, 2**33), (3, 5000, 1)])
def test_normals_are_those_of_the_cpu(rows, columns, first):
    keys = [random.key(1, 2), random.key(5), 2**64 - 1]
    on_gpu, here = (random.normal(keys, rows, columns, first, device) for device in ("cuda", "cpu"))
    torch.testing.assert_close(on_gpu.cpu(), here, rtol=0, atol=2e-6)
