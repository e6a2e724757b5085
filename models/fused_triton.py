"""The CUDA kernel of models.fused: one program per network, which keeps its weights in registers for all updates."""
# mypy: ignore-errors
# ruff: noqa: RUF005
# Both would have Python where the kernels are Triton, whose tuples grow by addition only.

import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor


@triton.jit
def dot(a, b):
    """a b in full float32: the default would round to TF32."""
    return tl.dot(a, b, input_precision="ieee")


@triton.jit
def train(W, Sxx, Syx, rate, keep, updates, shared: tl.constexpr, depth: tl.constexpr, n: tl.constexpr, latent: tl.constexpr):
    """`updates` updates of network number program_id(0): w <- keep w - rate gradient (models.population).

    W [N, depth + 1, n, n]: layers, then the head. Sxx, Syx [N, n, n], or [1, n, n] where `shared`. rate, keep [N, depth + 1].
    """
    network = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, n)[:, None] * n + tl.arange(0, n)[None, :]
    first = network * (depth + 1)
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
    W: Float[Tensor, "N M n n"],
    Sxx: Float[Tensor, "S n n"],
    Syx: Float[Tensor, "S n n"],
    rate: Float[Tensor, "N M"],
    keep: Float[Tensor, "N M"],
    latent: bool,
    updates: int,
) -> None:
    """Change W in place; n a power of two from 16 to 64."""
    N, M, n, _ = W.shape
    options = {"num_warps": warps(M - 1, n), "enable_fp_fusion": True}
    train[(N,)](W, Sxx, Syx, rate, keep, updates, len(Sxx) == 1, M - 1, n, latent, **options)


def warps(depth: int, n: int) -> int:
    """As few as hold weights and partial products in some 200 of a thread's 255 registers: the fewer the threads, the more
    a thread computes from what it reads out of shared memory."""
    numbers = (2 * depth + 3) * n * n
    return min(8, triton.next_power_of_2(triton.cdiv(numbers, 32 * 200)))
