"""How large an encoder is, measured on one network of it before a stack is made."""

import itertools

import torch
from torch.autograd.graph import saved_tensors_hooks

import models
from study.arguments import made
from study.running.capacity import widths

OURS = "models.MLP"  # known by its widths alone


def measured(encoder: dict, item: int) -> tuple[int, int, int, int]:
    """Of an encoder with this configuration: inputs d, features k, weights of a network, and numbers that a training keeps for
    each sample of a batch. An MLP is known by its widths; of any other, one network is made and traced on two samples.

    Raises:
        ValueError: it cannot be made.
    """
    options = encoder["init_args"]
    if encoder["class_path"] in (OURS, "models.networks.mlp.MLP"):
        sizes = widths(options)
        biases = 0 if options.get("activation", "linear") == "linear" else sum(sizes[1:])
        return sizes[0], sizes[-1], sum(a * b for a, b in itertools.pairwise(sizes)) + biases, 4 * sum(sizes[1:])
    one = made(models.Encoder, encoder | {"init_args": options | {"seeds": options["seeds"][:1]}})
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        one(torch.zeros(1, 2, one.inputs, dtype=one.dtype))["features"].sum()
    weights = sum(p.numel() for p in one.parameters())
    activations = max(0, sum(kept.values()) - weights * item) // (2 * item)
    return one.inputs, one.features, weights, 2 * activations  # of both views
