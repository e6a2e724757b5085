"""Prediction C: a teacher that follows at rate tau instead of the encoder itself.

Claim: With an exponential-moving-average target of rate tau every mode obeys an ODE of two variables; tau -> infinity recovers the
stop-gradient times with a difference that falls like 1 / tau. For tau -> 0 the time depends on tau, rho, eps and L alone: lambda no
longer matters.
Command: study run ema
Expected: integrated networks within 0.1 % of the two-variable ODE; the limits within 1 % (fast) and 5 % (slow).
Time: about 1 minute on 2 CPU cores.

Critical times are those of the online encoder's gain at half of its fixed point rho^L.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import solve_ivp
from scipy.stats import spearmanr

from study.experiments.base import Claim, Figures, Plan, Results
from study.experiments.linear import FRACTION, HALF, LinearExperiment, read
from study.experiments.verdict import Region, around
from study.theory import exact, flow
from study.theory.predictions import ema_rates, slow_teacher_time

LAM, RHO = np.array([1.0, 0.9, 0.8, 0.7]), np.array([0.6, 0.75, 0.9, 1.05])
TAUS = np.logspace(-6, 4, 21)
DEPTHS, EPS = (1, 2, 3), 0.02


@cache
def predicted(depth: int) -> NDArray:
    """Critical times [tau, feature] of the two-variable ODE, by an independent integrator (scipy's LSODA in log u)."""
    out = np.empty((len(TAUS), len(RHO)))
    for i, tau in enumerate(TAUS):
        for j, (lam, rho) in enumerate(zip(LAM, RHO, strict=True)):

            def rates(t: float, y: NDArray, tau: float = tau, lam: float = lam, rho: float = rho) -> NDArray:
                u, teacher = np.exp(y)
                return np.array(ema_rates(u, teacher, lam, rho, depth, tau)) / (u, teacher)

            def reached(t: float, y: NDArray, rho: float = rho) -> float:
                return depth * y[0] - np.log(FRACTION * rho**depth)

            reached.terminal = True  # type: ignore[attr-defined]
            start = np.full(2, np.log(EPS) / depth)
            end = 100 * (slow_teacher_time(rho, depth, EPS, tau) + exact.critical_time("jepa", lam, rho, depth, EPS))
            solved = solve_ivp(rates, (0, end), start, method="LSODA", events=reached, rtol=1e-9, atol=1e-10)
            assert solved.t_events is not None
            out[i, j] = solved.t_events[0][0]
    return out


@dataclass
class Ema(LinearExperiment):
    """Critical times over the teacher's rate.

    Args:
        tolerance: relative error of one step of the integrator; the fast limit's delays are small.
    """

    free = ("tolerance",)
    name = "ema"
    expected = "3 runs of 21 networks, about 1 min on 2 cores"
    minutes = 1
    tolerance: float = 1e-9

    def plan(self) -> Plan:
        shape = np.ones((len(TAUS), 1))
        yield {
            f"L{L}": self.integration(
                f"L{L}", "jepa", LAM * shape, RHO, L, EPS, 1.2 * predicted(L).max(1),
                {HALF: FRACTION * flow.fixed_point("jepa", RHO, L)}, target="models.EMA", flow={"tau": TAUS.tolist()},
            )
            for L in DEPTHS
        }  # fmt: skip

    def claims(self, results: Results) -> list[Claim]:
        out = []
        for L in DEPTHS:
            trained = read(results[f"L{L}"], f"linear/crossing/{HALF}")
            off = np.abs(trained / predicted(L) - 1)
            out.append(
                self.claim(
                    f"ode-L{L}", f"JEPA with a teacher, depth {L}, tau {TAUS[0]:g} to {TAUS[-1]:g}: critical times of the full matrices "
                    "are those of the two-variable ODE within 0.1 % (largest relative error)",
                    "theory section 6 C", "0 (<= 0.001)", Region(at_most=1e-3), off.max(), n=off.size,
                )
            )  # fmt: skip
            stop = exact.critical_time("jepa", LAM, RHO, L, EPS, FRACTION)
            fast = (TAUS >= 10) & (TAUS <= 1000)
            power = np.polyfit(np.log(TAUS[fast]), np.log(trained[fast] / stop - 1), 1)[0]
            out.append(
                self.claim(
                    f"fast-L{L}", f"JEPA with a fast teacher, depth {L}: the delay over the stop-gradient target falls with tau; exponent "
                    "from tau = 10 to 1000 within 0.05 of -1 (range over features)",
                    "theory section 6 C", "-1", around(-1, 0.05), power,
                )
            )  # fmt: skip
            slow = trained[0] / slow_teacher_time(RHO, L, EPS, TAUS[0], FRACTION)
            out.append(
                self.claim(
                    f"slow-L{L}", f"JEPA with a slow teacher, depth {L}, tau = {TAUS[0]:g}: critical time over "
                    "(L+1)/tau ln((r - z0)/(r - z1)), which does not depend on lambda, within 5 % (range over features)",
                    "theory section 6 C; docs/theory.md", "1", around(1, 0.05), slow,
                )
            )  # fmt: skip
        return out

    def reported(self, results: Results) -> list[dict[str, Any]]:
        rows = []
        for L in DEPTHS:
            trained = read(results[f"L{L}"], f"linear/crossing/{HALF}")
            for i in range(0, len(TAUS), 4):
                order = spearmanr(trained[i], RHO).statistic
                rows.append({"depth": L, "tau": f"{TAUS[i]:g}", "rank correlation of critical time with rho": f"{order:+.1f}",
                             **{f"t*, rho = {r:g}": f"{t:.4g}" for r, t in zip(RHO, trained[i], strict=True)}})  # fmt: skip
        return rows

    def figures(self, results: Results) -> Figures:
        from study import figures

        panels = {}
        for L in DEPTHS:
            stop = exact.critical_time("jepa", LAM, RHO, L, EPS, FRACTION)
            panels[f"L = {L}"] = (TAUS, predicted(L) / stop, TAUS, read(results[f"L{L}"], f"linear/crossing/{HALF}") / stop)
        caption = (
            "Critical time (half of the own fixed point) of a JEPA with a teacher of rate tau, over that with the stop-gradient "
            "target. Lines: two-variable ODE; dots: integrated networks. Lambda falls from 1 to 0.7 as rho rises."
        )
        figure = figures.over_parameter(panels, RHO, "rate tau of the teacher", "t* / t*(stop-gradient)", columns=len(DEPTHS))
        for axes in figure.axes[: len(DEPTHS)]:
            axes.set_yscale("log")
        return {caption: figure}
