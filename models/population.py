"""Exact population loss and gradient of deep linear networks from second moments (theory, section 1).

With Wbar = W_L ... W_1, target matrix T and R = V Wbar Sxx - T Syx:

    loss = 1/2 tr(V Wbar Sxx Wbar^T V^T) - tr(V Wbar Syx^T T^T) + 1/2 tr(T Syy T^T)
    grad_V = R Wbar^T,  grad_Wbar = V^T R,  grad_{W_i} = (W_L ... W_{i+1})^T grad_Wbar (W_{i-1} ... W_1)^T

Written out instead of left to autograd: several times faster for small matrices, and the same formula as on paper.
"""

from collections.abc import Sequence
from itertools import accumulate

import torch
from jaxtyping import Float
from torch import Tensor

from models.encoders import Encoder
from models.optimizers import StackedOptimizer
from models.targets import Target


def products(layers: Sequence[Tensor]) -> list[Float[Tensor, "N _ d"]]:
    """W_1, W_2 W_1, ..., Wbar."""
    return list(accumulate(layers, lambda product, layer: layer @ product))


def gradients(
    layers: Sequence[Tensor],
    partial: Sequence[Tensor],
    head: Tensor,
    T: Tensor,
    Sxx: Float[Tensor, "S d d"],
    Syx: Float[Tensor, "S d d"],
) -> tuple[list[Tensor], Tensor, Float[Tensor, "N"]]:
    """Gradients with respect to the layers and the head, and the part of each loss that depends on them:
    loss - 1/2 tr(T Syy T^T). `partial` holds the products of the layers; the target matrix T is a constant."""
    VW, TSyx = head @ partial[-1], _by(T, Syx)
    R = _by(VW, Sxx) - TSyx
    G = head.mT @ R  # gradient with respect to W_i ... W_1, from i = L down
    made = []
    for i in range(len(layers) - 1, 0, -1):
        made.append(G @ partial[i - 1].mT)
        G = layers[i].mT @ G
    made.append(G)
    return made[::-1], R @ partial[-1].mT, (VW * (R - TSyx)).sum((-2, -1)) / 2


def _by(a: Tensor, moments: Float[Tensor, "S d d"]) -> Tensor:
    """a @ moments; moments that all networks share make one large product instead of N small ones."""
    return a @ moments[0] if len(moments) == 1 else a @ moments


@torch.no_grad()
def backward(encoder: Encoder, head: Tensor, target: Target, moments: dict[str, Tensor]) -> Float[Tensor, "N"]:
    """Set the gradients of all weights and return the loss of each network. `moments` holds Sxx, Syx, Syy [S, d, d].

    Raises:
        ValueError: the encoder is not linear, so that its loss is no function of second moments.
    """
    if not encoder.linear:
        raise ValueError(f"exact moments train linear encoders only, found {encoder.activation}; give the data a batch size")
    layers = list(encoder.layers)
    partial = products(layers)
    T = target.matrix(target.carried(), partial[-1])
    made, head.grad, loss = gradients(layers, partial, head, T, moments["Sxx"], moments["Syx"])
    for layer, gradient in zip(layers, made, strict=True):
        layer.grad = gradient
    return loss + (T * _by(T, moments["Syy"])).sum((-2, -1)) / 2


BLOCK_BYTES = 2**20  # weights and temporaries of one block should stay in a core's second-level cache


def block_size(encoder: Encoder, head: Tensor) -> int:
    """Networks that are walked together: all on a GPU, as many as fit the cache on a CPU."""
    if head.device.type != "cpu":
        return encoder.networks
    numbers = sum(w[0].numel() for w in (*encoder.layers, head))
    return max(1, BLOCK_BYTES // (4 * numbers * head.element_size()))


@torch.no_grad()
def walk(
    encoder: Encoder, head: Tensor, target: Target, moments: dict[str, Tensor], optimizer: StackedOptimizer, updates: int
) -> Float[Tensor, "updates N"]:
    """`updates` updates on the same moments, block of networks by block of networks, and the losses before each.

    Networks do not know of each other, so a block can take all its updates while it is in the cache. The optimiser must
    have made one step before, so that its state exists.
    """
    weights, N = [*encoder.layers, head], encoder.networks
    losses = head.new_empty(updates, N)
    size = block_size(encoder, head)
    for block in (slice(first, first + size) for first in range(0, N, size)):
        *layers, V = (w.detach()[block] for w in weights)
        carried = [w[block] for w in target.carried()]
        Sxx, Syx, Syy = (m if len(m) == 1 else m[block] for m in (moments[name] for name in ("Sxx", "Syx", "Syy")))
        step = optimizer.on(weights, block)
        for k in range(updates):
            partial = products(layers)
            T = target.matrix(carried, partial[-1])
            made, of_head, loss = gradients(layers, partial, V, T, Sxx, Syx)
            losses[k, block] = loss + (T * _by(T, Syy)).sum((-2, -1)) / 2
            step([*made, of_head])
            target.follow(carried, layers)
    optimizer.count(weights, updates)
    return losses
