"""How the gains of features will grow while deep linear networks are trained, where moments do not commute: four forecasts of rising cost.

All are of balanced networks as wide as their inputs (theory, section 1). Shapes: T times, d inputs, f features, m dimensions.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from datamodules import Moments, SourcePairs
from datamodules.moments import Strongest
from models.gradient_flow import GradientFlow
from study.forecast.run import ForecastRun, Row
from study.observers.directions import chosen
from study.observers.maps import gains
from study.theory import exact
from study.theory.flow import Objective

LEAST = 1e-12  # of the largest lambda: what single modes are given for one that is not positive
TOLERANCE = 1e-5  # relative, of a step of the integrator


def modes(objective: Objective, at: NDArray, lam: NDArray, rho: NDArray, depth: int, eps: float) -> NDArray:
    """Gains [T, f] of single modes, exact for each by itself (theory, section 3). What is not learned stays as good as where it was."""
    positive = LEAST * lam.max()
    return exact.trajectory(objective, at[:, None], lam.clip(positive), rho.clip(positive), depth, eps)


def along_principal(objective: Objective, at: NDArray, moments: Moments, depth: int, eps: float) -> Float[Tensor, "T d d"]:
    """Encoders whose modes are the eigenvectors of Syx, each with the rho of its Rayleigh quotient: weights that are small grow by
    Syx alone, as the term with Sxx is of a higher order in them."""
    lam, q = torch.linalg.eigh((moments.Syx + moments.Syx.mT) / 2)
    rho = lam / ((moments.Sxx @ q) * q).sum(0)
    w = torch.from_numpy(modes(objective, at, lam.numpy(), rho.numpy(), depth, eps))
    return (q * w[:, None]) @ q.mT


def by_flow(objective: Objective, at: NDArray, moments: Moments, depth: int, eps: float, m: int) -> Float[Tensor, "T d d"]:
    """Encoders by the gradient flow of the full matrices, in the span of the m strongest eigenvectors of Syx; beyond it weights stay as
    they start. With all d of them nothing is neglected. Rotations of the layers change no gain, so each starts as a multiple of the
    identity."""
    from scipy.integrate import solve_ivp

    d = len(moments.Sxx)
    Q = torch.linalg.eigh((moments.Syx + moments.Syx.mT) / 2)[1][:, d - m :]
    one, eye = torch.ones(1, 1, 1, dtype=torch.float64), torch.eye(m, dtype=torch.float64)[None]
    flow = GradientFlow(
        depth, objective == "jepa", (Q.mT @ moments.Sxx @ Q)[None], (Q.mT @ moments.Syx @ Q)[None], one, 0 * one
    )
    start = flow.pack([eps ** (1 / depth) * eye] * depth, eps ** (1 / depth) * eye)

    def velocity(_: float, y: NDArray) -> NDArray:
        return flow.velocity(torch.from_numpy(y)[None])[0].numpy()

    solved = solve_ivp(
        velocity, (0.0, at[-1]), start[0].numpy(), "RK45", at, rtol=TOLERANCE, atol=TOLERANCE * eps ** (1 / depth)
    )
    assert solved.success, solved.message
    inside = torch.stack([flow.product(torch.from_numpy(y)[None])[0] for y in solved.y.T])
    return Q @ inside @ Q.mT + eps * (torch.eye(d, dtype=torch.float64) - Q @ Q.mT)


class Gains(ForecastRun):
    """The forecast options: objective, depth, eps, `times` at which the gains are wanted, rising from 0, `widths` m of subspaces.

    The table has, for network s of data set s and feature i in the order of study.observers.Alignment that records all: gain/<forecast>/i
    at each time, and seconds/<forecast> that it took with the moments at hand. Forecasts: modes, principal, flow-<m>.
    """

    options = frozenset({"objective", "depth", "eps", "times", "widths"})

    def rows(self, data: SourcePairs, options: dict[str, Any]) -> Iterator[Row]:
        at = np.array(options["times"])
        of = {name: options[name] for name in ("depth", "eps")}
        for s, moments in enumerate(data.moments()):
            features = moments.features()
            rows = chosen(features, len(features.lam))
            known = Strongest(features.lam[rows], features.rho[rows], features.directions[:, rows])

            def seen(W: Float[Tensor, "T d d"], known: Strongest = known, Sxx: Tensor = moments.Sxx) -> NDArray:
                return gains(W, Sxx[None], known.directions[None]).numpy()

            forecasts = forecasts_of(options["objective"], at, moments, known, options["widths"], seen, **of)
            for name, forecast in forecasts.items():
                start = time.monotonic()
                found = forecast()
                yield Row(f"seconds/{name}", 0, 0.0, time.monotonic() - start, s)
                for step, values in enumerate(found):
                    for i, value in enumerate(values):
                        yield Row(f"gain/{name}/{i}", step, float(at[step]), float(value), s)


def forecasts_of(
    objective: Objective,
    at: NDArray,
    moments: Moments,
    known: Strongest,
    widths: list[int],
    seen: Callable[[Float[Tensor, "T d d"]], NDArray],
    depth: int,
    eps: float,
) -> dict[str, Callable[[], NDArray]]:
    """By name, what makes the gains [T, f] of the known features; `seen` reads them off encoders."""

    def in_width(m: int) -> NDArray:
        return seen(by_flow(objective, at, moments, depth, eps, m))

    return {
        "modes": lambda: modes(objective, at, known.lam.numpy(), known.rho.numpy(), depth, eps),
        "principal": lambda: seen(along_principal(objective, at, moments, depth, eps)),
        **{f"flow-{m}": partial(in_width, m) for m in widths},
    }
