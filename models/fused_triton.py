"""The CUDA kernel of models.fused: one program per network, which keeps its weights in registers for all updates."""
# mypy: ignore-errors
# ruff: noqa: RUF005
# Both would have Python where the kernels are Triton, whose tuples grow by addition only.

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from models.population import loss, products


@triton.jit
def dot(a, b):
    """a b in full float32: the default would round to TF32."""
    return tl.dot(a, b, input_precision="ieee")


@triton.jit(do_not_specialize=["updates"])  # one kernel, not one more for a single update and one for multiples of 16
def train(
    W, Sxx, Syx, rate, keep, updates,
    shared: tl.constexpr, depth: tl.constexpr, n: tl.constexpr, latent: tl.constexpr,
):  # fmt: skip
    """`updates` updates of network number program_id(0): w <- keep w - rate gradient, as in models.population.

    W [N, depth + 1, n, n]: layers, then the head. Sxx, Syx [N, n, n], or [1, n, n] where `shared`. rate, keep [N, depth + 1].
    """
    network = tl.program_id(0).to(tl.int64)
    at, first = tl.arange(0, n)[:, None] * n + tl.arange(0, n)[None, :], network * (depth + 1)
    data = at if shared else at + network * n * n
    sxx, syx = tl.load(Sxx + data), tl.load(Syx + data)
    weights, rates, keeps = (), (), ()
    for i in tl.static_range(depth + 1):
        weights += (tl.load(W + (first + i) * n * n + at),)
        rates += (tl.load(rate + first + i),)
        keeps += (tl.load(keep + first + i),)
    for _ in range(updates):
        partial = (weights[0],)
        for i in tl.static_range(1, depth):
            partial += (dot(weights[i], partial[i - 1]),)
        product, head = partial[depth - 1], weights[depth]
        target = dot(product, syx) if latent else syx
        residual = dot(dot(head, product), sxx) - target
        gradient = dot(tl.trans(head), residual)
        changed = (keeps[depth] * head - rates[depth] * dot(residual, tl.trans(product)),)
        for i in tl.static_range(depth - 1, 0, -1):
            changed = (keeps[i] * weights[i] - rates[i] * dot(gradient, tl.trans(partial[i - 1])),) + changed
            gradient = dot(tl.trans(weights[i]), gradient)
        weights = (keeps[0] * weights[0] - rates[0] * gradient,) + changed
    for i in tl.static_range(depth + 1):
        tl.store(W + (first + i) * n * n + at, weights[i])


def launch(
    weights: list[Float[Tensor, "N n n"]],
    moments: tuple[Float[Tensor, "S n n"], Float[Tensor, "S n n"], Float[Tensor, "S n n"]],
    rate: Float[Tensor, "N M"],
    keep: Float[Tensor, "N M"],
    latent: bool,
    updates: int,
    losses: Float[Tensor, "N"],
) -> None:
    """Change weights and losses in place; n a power of two from 16 to 64."""
    W, (N, n, _), depth = torch.stack(weights, 1), weights[0].shape, len(weights) - 1
    Sxx, Syx, Syy = moments
    options = {"num_warps": warps(depth, n), "enable_fp_fusion": True}

    def advance(count: int) -> None:
        train[(N,)](W, Sxx, Syx, rate, keep, count, len(Sxx) == 1, depth, n, latent, **options)

    advance(updates - 1)
    *layers, head = W.unbind(1)
    product = products(layers)[-1]
    # Not in the kernel, where it would take registers from every update.
    losses.copy_(loss(head @ product, product if latent else torch.eye(n, device=W.device)[None], Sxx, Syx, Syy))
    advance(1)
    for weight, changed in zip(weights, W.unbind(1), strict=True):
        weight.copy_(changed)


def warps(depth: int, n: int) -> int:
    """As few as hold weights and partial products in a thread's 255 registers, which what is on the way takes more than half of:
    the fewer the threads, the more a thread computes from what it reads out of shared memory."""
    numbers = (2 * depth + 3) * n * n
    return min(8, triton.next_power_of_2(triton.cdiv(numbers, 32 * 112)))
