"""Training of deep linear networks on exact moments: many updates at a time, of a cacheful of networks."""

import torch
from jaxtyping import Float
from torch import Tensor

from models import fused, threads
from models.encoder import Encoder
from models.networks.mlp import MLP
from models.objective import Objective, Pixels, StopGradient
from models.optimizers import StackedOptimizer
from models.population import Room, gradients, loss, products, residual
from models.predictor import Matrix, Predictor

BLOCK_BYTES = 10 * 2**20  # weights and temporaries of one block: few enough for the cache, many enough to pay for the calls


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
    if not (encoder.linear and type(predictor) is Matrix and objective.exact):
        found = ", ".join(type(part).__name__ for part in (encoder, predictor, objective))
        raise ValueError(
            "exact moments train linear encoders with a matrix and the plain squared distance alone, which "
            f"{found} with these options are not; give the data a batch size"
        )


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
            T = None if type(objective) is Pixels else objective.matrix(carried, partial[-1])
            R = residual(V, partial[-1], T, Sxx, Syx, room)
            if update == updates - 1:
                losses[block] = loss(V @ partial[-1], objective.matrix(carried, partial[-1]), Sxx, Syx, Syy)
            for gradient in gradients(layers, partial, V, R if scale is None else R.mul_(scale), room):
                step(optimizer.updates + update, *gradient)
            objective.follow(carried, layers, optimizer.updates + update)

    if len(blocks) == 1:
        train(0)
    else:
        list(threads.pool(torch.get_num_threads()).map(train, range(len(blocks))))
    optimizer.count(updates)
    return losses
