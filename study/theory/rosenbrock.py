"""A stiff integrator for a stack of independent systems, each with a step size of its own.

Times of small initialisations scale as eps^{-(2L-1)/L}, while a learned mode relaxes within a time of order one: explicit
methods would need some 10^7 steps. No maintained library integrates a stack of stiff systems in torch with one step size
each (torchode is explicit, torchdiffeq and scipy take one step size for all), so this is Rodas5P (Steinebach, BIT 2023,
doi 10.1007/s10543-023-00967-x): linearly implicit, L-stable, stiffly accurate, order 5(4). Systems are autonomous.

Shapes: N systems of P unknowns; J is the Jacobian [N, P, P].
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor


class System(Protocol):
    """M systems of P unknowns each."""

    def velocity(self, y: Float[Tensor, "M P"]) -> Float[Tensor, "M P"]:
        """dy/dt."""

    def jacobian(self, y: Float[Tensor, "M P"]) -> Float[Tensor, "M P P"]:
        """[m, i, j]: derivative of equation i of system m by its unknown j."""


GAMMA = 0.21193756319429014
A: tuple[tuple[float, ...], ...] = (
    (),
    (3.0,),
    (2.849394379747939, 0.45842242204463923),
    (-6.954028509809101, 2.489845061869568, -10.358996098473584),
    (2.8029986275628964, 0.5072464736228206, -0.3988312541770524, -0.04721187230404641),
    (-7.502846399306121, 2.561846144803919, -11.627539656261098, -0.18268767659942256, 0.030198172008377946),
)
A = (*A, (*A[5], 1.0), (*A[5], 1.0, 1.0))
C = (
    (),
    (-14.155112264123755,),
    (-17.97296035885952, -2.859693295451294),
    (147.12150275711716, -1.41221402718213, 71.68940251302358),
    (165.43517024871676, -0.4592823456491126, 42.90938336958603, -5.961986721573306),
    (24.854864614690072, -3.0009227002832186, 47.4931110020768, 5.5814197821558125, -0.6610691825249471),
    (30.91273214028599, -3.1208243349937974, 77.79954646070892, 34.28646028294783, -19.097331116725623, -28.087943162872662),
    (37.80277123390563, -3.2571969029072276, 112.26918849496327, 66.9347231244047, -40.06618937091002, -54.66780262877968,
     -9.48861652309627),
)  # fmt: skip


class Stopped(ArithmeticError):
    """The integration cannot go on: step sizes underflow, values are not finite, or too many steps.

    Attributes:
        network: index of the system that stopped.
        time: where it stopped.
        y: its last good state [P].
    """

    def __init__(self, reason: str, network: int, time: float, y: Tensor) -> None:
        super().__init__(reason)
        self.reason, self.network, self.time, self.y = reason, network, time, y


@dataclass(frozen=True)
class Step:
    """An accepted step of some of the systems: their numbers, the time and state after it."""

    index: Int[Tensor, "M"]
    t: Float[Tensor, "M"]
    y: Float[Tensor, "M P"]


def attempt(system: System, y: Float[Tensor, "M P"], h: Float[Tensor, "M"]) -> tuple[Tensor, Tensor]:
    """One step of size h: the new state and the estimate of its error, both [M, P]."""
    h = h[:, None]
    diagonal = (1 / (GAMMA * h))[..., None] * torch.eye(y.shape[1], dtype=y.dtype, device=y.device)
    LU, pivots, _ = torch.linalg.lu_factor_ex(diagonal - system.jacobian(y))
    k: list[Tensor] = []
    for a, c in zip(A, C, strict=True):
        stage, right = y, torch.zeros_like(y)
        for a_j, c_j, k_j in zip(a, c, k, strict=True):
            stage, right = stage + a_j * k_j, right + c_j * k_j
        right = system.velocity(stage) + right / h
        k.append(torch.linalg.lu_solve(LU, pivots, right[..., None])[..., 0])
    return stage + k[-1], k[-1]


def integrate(
    system_of: Callable[[Tensor], System],
    y: Float[Tensor, "N P"],
    until: Float[Tensor, "N"],
    tolerance: float = 1e-8,
    floor: Float[Tensor, "N"] | float = 1.0,
    most: int = 100_000,
) -> Iterator[Step]:
    """Integrate N systems from time 0, each to its own end, and yield every accepted step.

    Args:
        system_of: index [M] -> these M of the systems.
        y: initial states, float64.
        until: end of each system, in its own time.
        tolerance: largest error of a step, relative to |y_i| + floor, in every component.
        floor: size below which a component counts as zero.
        most: attempted steps at most.

    Raises:
        ValueError: tolerance outside (0, 1).
        Stopped: the solution leaves the finite numbers, or is too stiff to follow.
    """
    if not 0 < tolerance < 1:
        raise ValueError(f"tolerance must lie in (0, 1), found {tolerance}")
    return _steps(system_of, y, until, tolerance, torch.as_tensor(floor, dtype=y.dtype, device=y.device).expand(len(y)), most)


def _steps(
    system_of: Callable[[Tensor], System], y: Tensor, until: Tensor, tolerance: float, floor: Tensor, most: int
) -> Iterator[Step]:
    index = torch.arange(len(y), device=y.device)
    system, t = system_of(index), torch.zeros_like(until)
    speed = (system.velocity(y).abs() / (y.abs() + floor[:, None])).amax(1)
    h = torch.minimum(until, 1e-3 / speed.clamp(min=1e-300))
    for _ in range(most):
        last = t + h >= until * (1 - 1e-14)
        h = torch.where(last, until - t, h)
        new, error = attempt(system, y, h)
        scale = torch.maximum(y.abs(), new.abs()) + floor[index][:, None]
        ratio = (error.abs() / scale).amax(1) / tolerance
        accepted = ratio <= 1  # false where ratio is nan
        factor = (0.9 * ratio.clamp(min=1e-12) ** -0.2).clamp(0.2, 6.0).nan_to_num(0.2)
        smallest = ~accepted & (h * 0.2 <= 1e-13 * (t + h))
        if bool(smallest.any()):
            m = int(smallest.nonzero()[0, 0])
            why = "the step size underflows" if bool(new[m].isfinite().all()) else "the solution is not finite"
            raise Stopped(why, int(index[m]), float(t[m]), y[m])
        t = torch.where(accepted, torch.where(last, until, t + h), t)
        y = torch.where(accepted[:, None], new, y)
        h = h * factor
        yield Step(index[accepted], t[accepted], y[accepted])
        running = ~(accepted & last)
        if not bool(running.all()):
            if not bool(running.any()):
                return
            index, t, y, h, until = index[running], t[running], y[running], h[running], until[running]
            system = system_of(index)
    raise Stopped(f"more than {most} steps", int(index[0]), float(t[0]), y[0])
