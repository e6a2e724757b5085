"""Moments that do not commute: do the generalised features predict the order?

Claim: Where Sxx and Syx have no common eigenvectors, the order in which JEPA and MAE learn the generalised features
(Syx v = rho Sxx v, lambda = v^T Syx v) is that of the exact times at their lambda and rho.
Command: study run noncommuting
Expected: rank correlations of 0.6 to 0.75: generalised features are not learned one by one; JEPA still ends at rho^L along each.
Time: about 1 minute on 2 CPU cores.

Signals in a random basis with noise along the axes (the temporal model), one random data set per network. Compared are the critical
times (half of the own final gain) of the features, by Spearman's rank correlation with the exact times.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from study.experiments.base import Claim, Figures, Plan, Results, check_count
from study.experiments.linear import FRACTION, OBJECTIVES, LinearExperiment, linear_model, read
from study.experiments.verdict import Region, around
from study.running.run import Run
from study.statistics import interval
from study.theory import exact, flow
from study.theory.flow import Objective

DEPTHS, EPS, D = (2, 4), 1e-3, 4


@dataclass
class Noncommuting(LinearExperiment):
    """Order of learning along generalised features.

    Args:
        tolerance: relative error of one step of the integrator.
        networks: random data sets.
    """

    free = ("tolerance", "networks")
    name = "noncommuting"
    expected = "4 runs of 40 networks, about 1 min on 2 cores"
    minutes = 1
    networks: int = 40

    def __post_init__(self) -> None:
        check_count("networks", self.networks, least=2)

    def data(self) -> dict[str, Any]:
        """Signal variances in [0.5, 1.5], gamma in [0.7, 1], noise in [0.02, 0.5], per network."""
        draw = np.random.default_rng(0).uniform(size=(3, self.networks, D))
        parts = {"signal": 0.5 + draw[0], "gamma": 0.7 + 0.3 * draw[1], "noise": 0.02 + 0.48 * draw[2]}
        return {name: v.tolist() for name, v in parts.items()} | {"basis": "noncommuting", "seeds": list(range(self.networks))}

    def features(self) -> tuple[NDArray, NDArray]:
        """lam, rho [networks, D] of the generalised features."""
        from datamodules import TemporalPairs

        found = TemporalPairs(**self.data()).features()
        return np.array([f.lam.numpy() for f in found]), np.array([f.rho.numpy() for f in found])

    def times(self, objective: Objective, depth: int) -> NDArray:
        return exact.critical_time(objective, *self.features(), depth, EPS, FRACTION)

    def plan(self) -> Plan:
        yield {f"{o}-L{L}": self.run(o, L) for L in DEPTHS for o in OBJECTIVES}

    def run(self, objective: Objective, depth: int) -> Run:
        model = linear_model(objective, D, depth, EPS, list(range(self.networks)))
        until = 100 * self.times(objective, depth).max(1)  # until the slowest gain has settled
        return self.flow(f"{objective}-L{depth}", model, "TemporalPairs", self.data(), until, fractions=[FRACTION])

    def correlations(self, results: Results, objective: Objective, depth: int, with_: NDArray) -> NDArray:
        """Spearman's correlation of measured critical times with something, per network."""
        times = read(results[f"{objective}-L{depth}"], f"linear/crossing/{FRACTION:g} of final")
        return np.array([spearmanr(a, b).statistic for a, b in zip(times, with_, strict=True)])

    def claims(self, results: Results) -> list[Claim]:
        out = []
        for L in DEPTHS:
            for objective in OBJECTIVES:
                mean, low, high = interval(self.correlations(results, objective, L, self.times(objective, L)))
                out.append(
                    self.claim(
                        f"order-{objective}-L{L}", f"{objective.upper()}, depth {L}, eps = {EPS:g}, noncommuting moments: rank correlation of "
                        "critical times (half of the own final gain) along generalised features with the exact times at their "
                        "lambda and rho, mean at least 0.9 (95 % Student interval)",
                        "theory section 5", ">= 0.9", Region(at_least=0.9), [low, high], measured=mean, n=self.networks,
                    )
                )  # fmt: skip
            final = read(results[f"jepa-L{L}"], "linear/gain") / flow.fixed_point("jepa", self.features()[1], L)
            out.append(
                self.claim(
                    f"fixed-point-L{L}", f"JEPA, depth {L}: final gain along a generalised feature over rho^L is within 10 % of 1 for at "
                    "least 0.9 of the features (interval: 5 and 95 % quantiles of the ratio; measured: its median)",
                    "theory sections 2 and 5", "1 (+- 0.1)", around(1, 0.1), np.quantile(final, [0.05, 0.95]),
                    measured=np.median(final), n=final.size,
                )
            )  # fmt: skip
        return out

    def reported(self, results: Results) -> list[dict[str, Any]]:
        lam, rho = self.features()
        return [
            {
                "objective": o.upper(),
                "depth": L,
                **{
                    f"rank correlation with {name}": f"{self.correlations(results, o, L, values).mean():+.2f}"
                    for name, values in (("exact times", self.times(o, L)), ("rho", rho), ("lambda", lam))
                },
            }
            for L in DEPTHS
            for o in OBJECTIVES
        ]

    def figures(self, results: Results) -> Figures:
        from study import figures

        panels = {
            (o, L): (self.times(o, L), read(results[f"{o}-L{L}"], f"linear/crossing/{FRACTION:g} of final"))
            for o in OBJECTIVES
            for L in DEPTHS
        }
        caption = (
            "Critical times along generalised features of noncommuting moments: integrated networks (half of the own final gain) "
            "over the exact times (half of the fixed point) at the features' lambda and rho. Colour: rho."
        )
        return {caption: figures.measured_over_exact(panels, self.features()[1])}
