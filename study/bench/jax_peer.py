"""The same training by JAX: jit of a loop over updates of vmap(grad), so that Python and dispatch cost nothing per step."""

from functools import partial

import jax
import numpy as np

from study.bench.problem import Problem


def loss(weights: list[jax.Array], moments: tuple[jax.Array, ...]) -> jax.Array:
    """study.bench.problem.loss."""
    Sxx, Syx, Syy = moments
    product = weights[0]
    for layer in weights[1:-1]:
        product = layer @ product
    T, prediction = jax.lax.stop_gradient(product), weights[-1] @ product
    return (prediction * (prediction @ Sxx / 2 - T @ Syx)).sum() + (T * (T @ Syy)).sum() / 2


@partial(jax.jit, donate_argnums=0)
def train(weights: list[jax.Array], moments: tuple[jax.Array, ...], lr: float, steps: int) -> list[jax.Array]:
    """`steps` updates of all networks; compiled once, whatever `steps` is."""
    gradients = jax.vmap(jax.grad(loss), in_axes=(0, None))

    def update(_: int, weights: list[jax.Array]) -> list[jax.Array]:
        return [w - lr * g for w, g in zip(weights, gradients(weights, moments), strict=True)]

    return jax.lax.fori_loop(0, steps, update, weights)


class Jax:
    """Keeps `weights` as JAX arrays."""

    def __init__(self, problem: Problem) -> None:
        device = jax.devices(problem.device)[0]
        self.lr = problem.lr
        self.moments = tuple(jax.device_put(m.cpu().numpy(), device) for m in problem.moments)
        self.arrays = [jax.device_put(w.cpu().clone().numpy(), device) for w in problem.first]

    def __call__(self, steps: int) -> None:
        with jax.default_matmul_precision("highest"):  # full float32 as the others, where a GPU's default rounds to TF32
            self.arrays = train(self.arrays, self.moments, self.lr, steps)
        jax.block_until_ready(self.arrays)

    @property
    def weights(self) -> list[np.ndarray]:
        return [np.asarray(w) for w in self.arrays]
