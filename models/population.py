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

from models import fused, threads
from models.encoder import Encoder
from models.networks.mlp import MLP
from models.objective import Objective, Pixels, StopGradient
from models.optimizers import StackedOptimizer
from models.predictor import Matrix, Predictor

BLOCK_BYTES = 10 * 2**20  # weights and temporaries of one block: few enough for the cache, many enough to pay for the calls


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
    VW: Float[Tensor, "N m d"],
    T: Float[Tensor, "_ m d"],
    Sxx: Float[Tensor, "S d d"],
    Syx: Float[Tensor, "S d d"],
    room: Room | None = None,
) -> Float[Tensor, "N m d"]:
    """R; the target matrix T is a constant."""
    shift = _by(T, Syx, room.shift if room and len(T) == len(VW) else None)
    return _by(VW, Sxx, room.residual if room else None).sub_(shift)


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


def block_size(encoder: MLP, head: Tensor) -> int:
    """Networks that are walked together: all on a GPU; on a CPU a cacheful, and as many for every thread."""
    if head.device.type != "cpu":
        return encoder.networks
    numbers = sum(w[0].numel() for w in (*encoder.layers, head))
    workers, most = torch.get_num_threads(), max(1, BLOCK_BYTES // (4 * numbers * head.element_size()))
    rounds = -(-encoder.networks // (most * workers))
    return -(-encoder.networks // (rounds * workers))


def check(encoder: Encoder, predictor: Predictor, objective: Objective) -> None:
    """Refuse what exact moments cannot train.

    Raises:
        ValueError: the loss is no function of second moments; says why.
    """
    for found, fine in ((encoder, encoder.linear), (predictor, type(predictor) is Matrix), (objective, objective.exact)):
        if not fine:
            raise ValueError(
                f"exact moments train linear encoders with a matrix and the squared distance alone, found {type(found).__name__}"
                f"{_of(found)}; give the data a batch size"
            )


def _of(found: object) -> str:
    match found:
        case MLP():
            return f" with {found.activation}"
        case Objective():
            return " with another distance, layer norm or a regularizer, or of both views"
    return ""


def walk(
    encoder: Encoder,
    predictor: Predictor,
    objective: Objective,
    moments: dict[str, Tensor],
    optimizer: StackedOptimizer,
    updates: int,
) -> Float[Tensor, "N"]:
    """`updates` updates on the same moments Sxx, Syx, Syy [S, d, d], and the loss of each network before the last one.

    Networks do not know of each other, so a block of them can take all its updates while it is in the cache of one core.

    Raises:
        ValueError: encoder, predictor or objective are such that the loss is no function of second moments.
    """
    check(encoder, predictor, objective)
    assert isinstance(encoder, MLP)
    assert isinstance(predictor, Matrix)
    head = predictor.weight
    weights, N = [*encoder.layers, head], encoder.networks
    # The kernels know these two; any other, be it derived from one of them, is known by its `matrix` alone.
    constant = optimizer.constant(weights) if type(objective) in (StopGradient, Pixels) else None
    if constant is not None and fused.applies(weights):
        optimizer.count(updates)
        return fused.train(weights, (moments["Sxx"], moments["Syx"], moments["Syy"]), *constant, objective.latent, updates)
    losses = torch.empty(N, dtype=head.dtype, device=head.device)
    size = block_size(encoder, head)
    blocks = [slice(first, min(first + size, N)) for first in range(0, N, size)]
    steps = [optimizer.on(weights, block) for block in blocks]

    @torch.no_grad()
    def train(number: int) -> None:
        block, (scale, step) = blocks[number], steps[number]
        *layers, V = (w.detach()[block] for w in weights)
        carried = [w[block] for w in objective.carried()]
        Sxx, Syx, Syy = (m if len(m) == 1 else m[block] for m in (moments[name] for name in ("Sxx", "Syx", "Syy")))
        room = Room(layers, V)
        for update in range(updates):
            partial = products(layers, room)
            T, VW = objective.matrix(carried, partial[-1]), torch.matmul(V, partial[-1], out=room.prediction)
            R = residual(VW, T, Sxx, Syx, room)
            if update == updates - 1:
                losses[block] = loss(VW, T, Sxx, Syx, Syy)
            for gradient in gradients(layers, partial, V, R if scale is None else R.mul_(scale), room):
                step(optimizer.updates + update, *gradient)
            objective.follow(carried, layers, optimizer.updates + update)

    if len(blocks) == 1:
        train(0)
    else:
        list(threads.pool(torch.get_num_threads()).map(train, range(len(blocks))))
    optimizer.count(updates)
    return losses
