"""Phase diagram: which of two features is learned first, over the ratios of rho and lambda, depth and initial scale.

Claim: Where feature a has the higher rho and b the higher lambda, the exact critical times say which is learned first; JEPA's
region of "a first" grows with depth and with eps, MAE's stays where lambda is about equal.
Command: study run phases
Expected: trained networks agree with theory everywhere farther than 1 % from the boundary.
Time: about 1 minute on 2 CPU cores.

b has lambda = 1 and a has rho = 1. The threshold of critical times is half of the feature's own fixed point.

The decoupled solution is exact but not stable (`takeover`). In some of the networks rounding errors grow to order one while a waits, and
a takes b's row long before its own time; in others the integrator's large steps damp so small a seed. Which feature is first does
not depend on it; how often it happens is reported.
"""

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from study.experiments.base import Claim, Figures, Plan, Results, check_count
from study.experiments.linear import FRACTION, HALF, OBJECTIVES, LinearExperiment, read
from study.experiments.verdict import Region, above
from study.statistics import binomial
from study.theory import exact
from study.theory.flow import Objective

DEPTHS, EPS = (1, 2, 4, 6), (1e-2, 1e-4)
LAM_A, RHO_B = (0.6, 1.0), (0.55, 1.0)


def features(lam_a: NDArray, rho_b: NDArray) -> tuple[NDArray, NDArray]:
    """lam, rho [..., 2] of features a and b."""
    lam_a, rho_b = np.broadcast_arrays(lam_a, rho_b)
    one = np.ones_like(lam_a)
    return np.stack([lam_a, one], -1), np.stack([one, rho_b], -1)


@dataclass
class Phases(LinearExperiment):
    """Phase diagram of trained pairs over theory.

    Args:
        tolerance: relative error of one step of the integrator.
        points: trained pairs along each axis of a panel.
    """

    free = ("tolerance", "points")
    name = "phases"
    expected = "8 runs of 162 networks, about 1 min on 2 cores"
    minutes = 1
    points: int = 9

    def __post_init__(self) -> None:
        check_count("points", self.points, most=300)  # along each of two axes

    def axis(self, limits: tuple[float, float]) -> NDArray:
        low, high = limits
        return low + (high - low) * (np.arange(self.points) + 0.5) / self.points

    def grid(self) -> tuple[NDArray, NDArray]:
        """lam, rho [pairs, 2] of one panel, lam_a varying fastest."""
        lam, rho = features(self.axis(LAM_A)[None, :], self.axis(RHO_B)[:, None])
        return lam.reshape(-1, 2), rho.reshape(-1, 2)

    def plan(self) -> Plan:
        lam, rho = (np.tile(v, (len(EPS), 1)) for v in self.grid())
        eps = np.repeat(EPS, self.points**2)
        yield {f"{o}-L{L}": self.race(f"{o}-L{L}", o, lam, rho, L, eps) for L in DEPTHS for o in OBJECTIVES}

    def trained(self, results: Results, objective: Objective, depth: int, eps: float) -> NDArray:
        """Measured t_a / t_b [points, points], rows over rho_b."""
        times = read(results[f"{objective}-L{depth}"], f"linear/crossing/{HALF}").reshape(len(EPS), self.points, self.points, 2)
        return times[EPS.index(eps), ..., 0] / times[EPS.index(eps), ..., 1]

    def theory(self, objective: Objective, depth: int, eps: float, lam: NDArray, rho: NDArray) -> NDArray:
        times = exact.critical_time(objective, lam, rho, depth, eps, FRACTION)
        return times[..., 0] / times[..., 1]

    def claims(self, results: Results) -> list[Claim]:
        out = []
        for objective in OBJECTIVES:
            parts = []
            for L, eps in itertools.product(DEPTHS, EPS):
                theory = self.theory(objective, L, eps, *self.grid())
                found = self.trained(results, objective, L, eps).ravel()
                parts.append(((found < 1) == (theory < 1))[np.abs(theory - 1) > 0.01])
            right = np.concatenate(parts)
            out.append(
                self.claim(
                    f"agreement-{objective}", f"{objective.upper()}, depths {', '.join(map(str, DEPTHS))}, eps = 0.01 and 0.0001: share of "
                    "trained pairs farther than 1 % from the boundary whose order (half of the own fixed point) is that of the "
                    "exact theory, at least 0.99 (95 % Clopper-Pearson interval)",
                    "theory sections 3 and 4", ">= 0.99", Region(at_least=0.99), binomial(int(right.sum()), right.size),
                    measured=right.mean(), n=right.size,
                )
            )  # fmt: skip
        share = {o: [np.mean(self.trained(results, o, L, 1e-2) < 1) for L in DEPTHS] for o in OBJECTIVES}
        out.append(
            self.claim(
                "grows-with-depth", "JEPA, eps = 0.01: the share of the diagram in which the feature of higher rho is first grows with "
                f"every depth of {', '.join(map(str, DEPTHS))} (interval: smallest and largest step)",
                "theory section 4", "> 0", above(0), np.diff(share["jepa"]), n=len(self.grid()[0]),
            )
        )  # fmt: skip
        return out

    def reported(self, results: Results) -> list[dict[str, Any]]:
        rows = []
        for L, eps in itertools.product(DEPTHS, EPS):
            row: dict[str, Any] = {"depth": L, "eps": f"{eps:g}"}
            for o in OBJECTIVES:
                theory = self.theory(o, L, eps, *self.grid())
                row[f"{o.upper()}: high rho first, %"] = f"{100 * np.mean(self.trained(results, o, L, eps) < 1):.1f}"
                row[f"{o.upper()}: theory, %"] = f"{100 * np.mean(theory < 1):.1f}"
                late = (theory > 1) & (self.trained(results, o, L, eps).ravel() < 0.99 * theory)
                row[f"{o.upper()}: second feature over 1 % early"] = f"{late.sum()} of {theory.size}"
            rows.append(row)
        return rows

    def figures(self, results: Results) -> Figures:
        from study import figures

        x, y = np.linspace(*RHO_B, 121), np.linspace(*LAM_A, 121)
        lam, rho = features(y[:, None], x[None, :])
        panels = {
            (o, eps, L): (self.theory(o, L, eps, lam, rho), self.trained(results, o, L, eps).T)
            for o, eps, L in itertools.product(OBJECTIVES, EPS, DEPTHS)
        }
        caption = (
            "Which of two features is learned first (half of its own fixed point). a has the higher rho, b the higher lambda. "
            "Field: exact theory, white where both times are equal; dots: trained networks, same colours. Dots paler than their field: "
            "a took over the row of b long before its own time."
        )
        return {caption: figures.phase_diagram(panels, (x, y), (self.axis(RHO_B), self.axis(LAM_A)))}
