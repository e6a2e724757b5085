"""Frozen networks on whose features a forecast can be made: as they start, or with the weights that others have published."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import nn

from datamodules.messages import printable
from models import Encoder, Stack
from models.networks import Convolution

FEATURES, PATCH = 512, 4  # of the network of `study run networks`
TIMM = "timm:"


def named(
    lift: str | Encoder, shape: Sequence[int], seed: int, widths: Sequence[int], device: str = "cpu"
) -> tuple[str, Encoder]:
    """A frozen network and its name: on this device, or where it is if it is given.

    Raises:
        ValueError: there is none of this name, or it does not take such samples.
    """
    if isinstance(lift, Encoder):
        return f"of {lift.features:,} features that was given", lift
    if lift == "random":
        return f"of widths {', '.join(map(str, widths))} at its initialisation", random(shape, seed, widths).to(device)
    if lift.startswith(TIMM):
        return lift, pretrained(lift.removeprefix(TIMM), shape).to(device)
    raise ValueError(f"lift must be random, {TIMM}NAME or a checkpoint, found {printable(lift)}")


def random(shape: Sequence[int], seed: int = 0, widths: Sequence[int] = (64, 64)) -> Encoder:
    """The network that would be trained, at its initialisation: the convolution of `study run networks` for square pictures whose side
    is a multiple of its patch, else a ReLU network of these widths."""
    network: Callable[[], nn.Module]
    if len(shape) == 3 and shape[1] == shape[2] and shape[1] % PATCH == 0:
        network = partial(Convolution, shape[1], shape[0], list(widths), PATCH, FEATURES)
    else:
        network = partial(dense, torch.Size(shape).numel(), list(widths))
    return Stack(network, list(shape), seeds=[seed])


def dense(inputs: int, widths: Sequence[int]) -> nn.Module:
    """Linear layers with ReLU between them, of which the last has FEATURES outputs."""
    layers: list[nn.Module] = [nn.Flatten()]
    for width in widths:
        layers += [nn.Linear(inputs, width), nn.ReLU()]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, FEATURES))


def pretrained(name: str, shape: Sequence[int]) -> Encoder:
    """A network of timm with its published weights, which timm fetches where it has not yet.

    Raises:
        ValueError: timm has no such network or no weights of it here, or it cannot take such samples.
    """
    import timm

    if len(shape) != 3:
        raise ValueError(f"{name} takes pictures, found samples of shape {list(shape)}; give --lift random")

    def network() -> nn.Module:
        return timm.create_model(name, pretrained=True, num_classes=0, in_chans=shape[0]).eval()

    try:
        return Stack(network, list(shape))
    except OSError as error:  # of the network between here and the weights
        raise ValueError(f"{name}: its weights cannot be fetched ({error}); give a network whose weights are here") from error
