"""What the experiments on deep linear networks share: integrations on Gaussian pairs, and reading them back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from study.experiments.base import Experiment, curves
from study.running.result import Result
from study.running.run import Run
from study.theory import exact, flow
from study.theory.flow import Objective

OBJECTIVES: tuple[Objective, Objective] = ("jepa", "mae")
TARGETS: dict[Objective, str] = {"jepa": "models.StopGradient", "mae": "models.Pixels"}
FRACTION = 0.5  # threshold of critical times: this fraction of the feature's own fixed point, unless a claim names another
HALF = "half of the fixed point"


@dataclass
class LinearExperiment(Experiment):
    """Base of experiments made of integrated gradient flows.

    Args:
        tolerance: relative error of one step of the integrator.
    """

    example = "--tolerance 1e-7 --device cpu"
    tolerance: float = 1e-6

    def outside(self) -> str:
        """As of every experiment; a smaller tolerance than the default only confirms claims, a larger one leaves them."""
        default = type(self).tolerance
        looser = [f"tolerance = {self.tolerance:g}, above {default:g}"] if self.tolerance > default else []
        return ", ".join([*looser, *filter(None, [super().outside()])])

    def integration(
        self,
        name: str,
        objective: Objective,
        lam: ArrayLike,
        rho: ArrayLike,
        depth: int,
        eps: ArrayLike,
        until: ArrayLike,
        levels: dict[str, NDArray] | None = None,
        basis: str = "rotated",
        flow: dict[str, Any] | None = None,
        **model: Any,
    ) -> Run:
        """Gradient flow of N networks on pairs with lam, rho [N, d], exact moments, from scales eps, one or [N], until times, one
        or [N]."""
        lam, rho = (np.asarray(v, dtype=float) for v in np.broadcast_arrays(lam, rho))
        N, d = lam.shape
        data = {"lam": lam.tolist(), "rho": rho.tolist(), "basis": basis}
        networks = linear_model(objective, d, depth, **{"eps": np.asarray(eps).tolist(), "seeds": list(range(N)), **model})
        return self.flow(name, networks, "GaussianPairs", data, until, levels, **(flow or {}))

    def flow(
        self,
        name: str,
        model: dict[str, Any],
        pairs: str,
        data: dict[str, Any],
        until: ArrayLike,
        levels: dict[str, NDArray] | None = None,
        **more: Any,
    ) -> Run:
        """Gradient flow of a model on pairs of this kind. What integrates and trains is imported when it is needed: claims and
        figures do without."""
        from study.running.integration import Integration

        ends, wanted = np.asarray(until).tolist(), {level: np.asarray(v).tolist() for level, v in (levels or {}).items()}
        config = {
            "model": model,
            "data": {"class_path": f"datamodules.{pairs}", "init_args": data},
            "flow": {"accelerator": self.device, "until": ends, "tolerance": self.tolerance, "levels": wanted, **more},
        }
        return Integration(self.name, name, config)

    def race(self, name: str, objective: Objective, lam: NDArray, rho: NDArray, depth: int, eps: ArrayLike) -> Run:
        """Networks [N] of a few features [N, d] each, until all features have reached half of their fixed points."""
        until = exact.critical_time(objective, lam, rho, depth, np.broadcast_to(eps, len(lam))[:, None], FRACTION).max(1)
        half = FRACTION * flow.fixed_point(objective, rho, depth)
        return self.integration(name, objective, lam, rho, depth, eps, 1.01 * until, {HALF: half}, basis="diagonal")


def linear_model(
    objective: Objective,
    d: int,
    depth: int,
    eps: float | list[float],
    seeds: list[int],
    target: str | None = None,
    hidden: int | None = None,
    features: int | None = None,
    init: str = "balanced",
    **more: Any,
) -> dict[str, Any]:
    """The model of a configuration: deep linear networks in float64 on d inputs, by default d wide; `target` is the class of the
    objective where it is not the plain one."""
    encoder = {
        "inputs": d,
        "hidden": [hidden or d] * (depth - 1),
        "features": features or d,
        "eps": eps,
        "init": init,
        "seeds": seeds,
        "dtype": "float64",
    }
    return {
        "encoder": {"class_path": "models.MLP", "init_args": encoder},
        "objective": {"class_path": target or TARGETS[objective]},
        **more,
    }


def training(
    experiment: str,
    name: str,
    objective: Objective,
    device: str,
    lam: list[list[float]],
    rho: list[list[float]],
    depth: int,
    eps: float,
    seeds: list[int],
    lr: list[float],
    every: int,
    measurements: int,
    batch: int | None = None,
    observers: Sequence[dict[str, Any]] = (),
    **model: Any,
) -> Run:
    """N deep linear networks trained by Lightning in float64 on pairs with lam, rho [N, d], gains recorded every `every`
    updates; exact moments, or minibatches of `batch` pairs; with further observers."""
    data = {"lam": lam, "rho": rho, "basis": "rotated", "updates": measurements * every, "chunk": every, "batch": batch}
    config = {
        "trainer": {
            "accelerator": device,
            "callbacks": [{"class_path": "study.observers.Alignment", "init_args": {"every": every, "k": 2}}, *observers],
        },
        "model": linear_model(objective, len(lam[0]), depth, eps, seeds, lr=lr, **model),
        "data": {"class_path": "datamodules.GaussianPairs", "init_args": data},
    }
    from study.running.training import Training

    return Training(experiment, name, config)


def trained_gains(result: Result, rho: NDArray) -> tuple[NDArray, NDArray]:
    """Times [T, N] and gains [T, N, d] of a trained stack, features in the order of rho [d], which differ."""
    measured, order = [], []
    for feature in range(len(rho)):
        _, times, values = curves(result, f"linear/gain/{feature}")
        measured.append(values)
        order.append(curves(result, f"feature-{feature}/rho")[2][0])
    # The table numbers features by falling lambda; within equal lambda the number is arbitrary, so go by rho.
    by_rho = np.argsort(np.array(order).T, axis=1)[:, np.argsort(np.argsort(rho))]
    return times, np.take_along_axis(np.stack(measured, -1), by_rho[None], axis=2)


def first_reached(times: NDArray, gain: NDArray, level: NDArray) -> NDArray:
    """First time [N, d] at which gains [T, N, d] have reached level [d]; infinite where they never do."""
    above = gain >= level
    index = np.maximum(above.argmax(0), 1)
    t0, t1 = (np.take_along_axis(np.broadcast_to(times[..., None], gain.shape), i[None], 0)[0] for i in (index - 1, index))
    w0, w1 = (np.take_along_axis(gain, i[None], 0)[0] for i in (index - 1, index))
    return np.where(above.any(0), t0 + (level - w0) / (w1 - w0) * (t1 - t0), np.inf)


def read(result: Result, metric: str) -> NDArray:
    """The last values [N, f] of a metric recorded per feature, such as "linear/gain" or "linear/crossing/<level>".

    Raises:
        ValueError: there are none, or some of a network are missing.
    """
    features = sum(name.startswith(f"{metric}/") for name in result.metrics)
    return np.stack([last(result, f"{metric}/{feature}") for feature in range(max(features, 1))], axis=1)


def last(result: Result, metric: str) -> NDArray:
    """The value [N] of each network at its own last step.

    Raises:
        ValueError: there is none of some network.
    """
    rows = result.rows(metric)
    order = np.argsort(rows.step, kind="stable")
    found, known = np.empty(result.networks), np.zeros(result.networks, dtype=bool)
    found[rows.network[order]] = rows.value[order]  # the last one stays
    known[rows.network] = True
    if not known.all():
        raise ValueError(f"{result.path}: its table has no {metric!r} of network {known.argmin()}; delete it and run it again")
    return found
