"""Exact population loss and gradient of deep linear networks from second moments (theory, section 1).

With Wbar = W_L ... W_1, target matrix T and R = V Wbar Sxx - T Syx:

    loss = 1/2 tr(V Wbar Sxx Wbar^T V^T) - tr(V Wbar Syx^T T^T) + 1/2 tr(T Syy T^T)
    grad_V = R Wbar^T,  grad_Wbar = V^T R,  grad_{W_i} = (W_L ... W_{i+1})^T grad_Wbar (W_{i-1} ... W_1)^T

Written out instead of left to autograd: several times faster for small matrices, and the same formula as on paper.
"""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor


class Room:
    """Where the intermediate results of one update go, so that large ones are not allocated in the loop."""

    def __init__(self, layers: Sequence[Tensor], head: Tensor) -> None:
        d = layers[0].shape[-1]
        shapes = [(*layer.shape[:-1], d) for layer in layers]
        self.gradients = [head.new_empty(shape) for shape in shapes]
        self.products = [head.new_empty(shape) for shape in shapes[1:]]
        self.prediction, self.residual, self.shift = (head.new_empty(*head.shape[:-1], d) for _ in range(3))


def products(layers: Sequence[Tensor], room: Room | None = None) -> list[Float[Tensor, "N _ d"]]:
    """W_1, W_2 W_1, ..., Wbar."""
    made = [layers[0]]
    for i, layer in enumerate(layers[1:], 1):
        made.append(torch.matmul(layer, made[-1], out=room.products[i - 1] if room else None))
    return made


def residual(
    head: Float[Tensor, "N m k"],
    product: Float[Tensor, "N k d"],
    T: Float[Tensor, "_ m d"] | None,
    Sxx: Float[Tensor, "S d d"],
    Syx: Float[Tensor, "S d d"],
    room: Room | None = None,
) -> Float[Tensor, "N m d"]:
    """R; the target matrix T is a constant, none the identity."""
    prediction = torch.matmul(head, product, out=room.prediction if room else None)
    shift = Syx if T is None else _by(T, Syx, room.shift if room and len(T) == len(head) else None)
    return _by(prediction, Sxx, room.residual if room else None).sub_(shift)


def gradients(
    layers: Sequence[Tensor], partial: Sequence[Tensor], head: Tensor, R: Float[Tensor, "N m d"], room: Room | None = None
) -> Iterator[tuple[int, Tensor, Tensor | None]]:
    """(i, left, right) with left @ right the gradient of weight number i (left alone where right is None), the head last
    in number and first in order. A weight may be changed as soon as its gradient is here. `partial`: products of layers."""
    G = torch.matmul(head.mT, R, out=room.gradients[-1] if room else None)  # with respect to W_i ... W_1, from i = L down
    yield len(layers), R, partial[-1].mT
    for i in range(len(layers) - 1, 0, -1):
        below = torch.matmul(layers[i].mT, G, out=room.gradients[i - 1] if room else None)
        yield i, G, partial[i - 1].mT
        G = below
    yield 0, G, None


def loss(VW: Tensor, T: Tensor, Sxx: Tensor, Syx: Tensor, Syy: Tensor) -> Float[Tensor, "N"]:
    """The loss of each network."""
    own = (VW * (_by(VW, Sxx) / 2 - _by(T, Syx))).sum((-2, -1))
    return own + (T * _by(T, Syy)).sum((-2, -1)) / 2


def _by(a: Tensor, moments: Float[Tensor, "S d d"], out: Tensor | None = None) -> Tensor:
    """a @ moments; moments that all networks share make one large product instead of N small ones."""
    return torch.matmul(a, moments[0] if len(moments) == 1 else moments, out=out)
