"""The paper's times and fixed points: gradient flow of full matrices against the exact and the leading-order formulas.

Claim: Integrated gradient flow of the full matrices ends at rho^L (JEPA) and rho^{L/(L+1)} (MAE) and takes the exact critical
times to get there. As eps -> 0 these approach the paper's leading terms with the stated remainders: Theta(log eps) for JEPA,
Theta(1) for MAE. At equal lambda a low rho slows JEPA by a factor that grows with depth, and does not slow MAE.
Command: study run critical_times
Expected: critical times within 0.01 % of theory, fixed points within 1e-5.
Time: about 1 minute on 2 CPU cores.

A run integrates one depth and objective, one network for each scale eps; the threshold of every critical time is half of the
feature's own fixed point. Remainders, whose differences are far below any integrator's error, are taken from the exact times.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from study.experiments.base import Claim, Figures, Plan, Results
from study.experiments.linear import FRACTION, HALF, OBJECTIVES, LinearExperiment, read
from study.experiments.verdict import Region, around
from study.theory import asymptotic, exact, flow
from study.theory.flow import Objective

RHO = np.array([0.5, 0.7, 1.0, 1.2])
EPS = {L: (1e-3, 1e-4) if L > 4 else (1e-2, 1e-3, 1e-4) for L in (1, 2, 3, 4, 8)}
SMALL = np.logspace(-3, -6, 9)  # of the remainders' fits
# Slowdown of rho = 0.5 against 1 with the digits of theory section 4: (depth, eps) -> JEPA, MAE.
SLOWDOWNS = {
    (2, 1e-2): ("1.18", "0.97"),
    (2, 1e-4): ("1.016", "1.00"),
    (4, 1e-4): ("1.155", "1.00"),
    (8, 1e-4): ("2.09", "1.00"),
}


def exponent(x: NDArray, y: NDArray) -> float:
    """Slope of log |y| over log x."""
    return float(np.polyfit(np.log(x), np.log(np.abs(y)), 1)[0])


@dataclass
class CriticalTimes(LinearExperiment):
    """Integrated critical times and fixed points over theory.

    Args:
        tolerance: relative error of one step of the integrator.
    """

    free = ("tolerance",)
    name = "critical_times"
    expected = "10 runs of 2 to 3 networks, about 1 min on 2 cores"
    minutes = 1

    def plan(self) -> Plan:
        yield {f"{o}-L{L}": self.run(o, L) for L in EPS for o in OBJECTIVES}

    def run(self, objective: Objective, depth: int):
        eps = np.array(EPS[depth])
        until = exact.critical_time(objective, 1.0, RHO, depth, eps[:, None], 1 - 1e-5).max(1)
        half = FRACTION * flow.fixed_point(objective, RHO, depth)
        shape = np.ones((len(eps), len(RHO)))
        return self.integration(f"{objective}-L{depth}", objective, shape, RHO, depth, eps, until, {HALF: half})

    def claims(self, results: Results) -> list[Claim]:
        out = []
        for objective in OBJECTIVES:
            off, ends = [], []
            for L, eps in EPS.items():
                result = results[f"{objective}-L{L}"]
                theory = exact.critical_time(objective, 1.0, RHO, L, np.array(eps)[:, None], FRACTION)
                off.append(np.abs(read(result, f"linear/crossing/{HALF}") / theory - 1).ravel())
                ends.append(np.abs(read(result, "linear/gain") / flow.fixed_point(objective, RHO, L) - 1).ravel())
            where = f"{objective.upper()}, depths {', '.join(map(str, EPS))}, rho {RHO.min():g} to {RHO.max():g}"
            out.append(
                self.claim(
                    f"time-{objective}", f"{where}: critical times (half of the own fixed point) of integrated networks are the "
                    "exact ones within 0.1 % (largest relative error over networks and features)",
                    "theory section 3", "0 (<= 0.001)", Region(at_most=1e-3), np.concatenate(off).max(),
                    n=np.concatenate(off).size,
                )
            )  # fmt: skip
            out.append(
                self.claim(
                    f"fixed-point-{objective}", f"{where}: final gains are "
                    f"{'rho^L' if objective == 'jepa' else 'rho^(L/(L+1))'} within 1e-4 (largest relative error)",
                    "theory section 2", "0 (<= 0.0001)", Region(at_most=1e-4), np.concatenate(ends).max(),
                    n=np.concatenate(ends).size,
                )
            )  # fmt: skip
            out += self.slowdowns(results, objective)
        return out + self.remainders()

    def slowdowns(self, results: Results, objective: Objective) -> list[Claim]:
        out = []
        for (L, eps), digits in SLOWDOWNS.items():
            times = read(results[f"{objective}-L{L}"], f"linear/crossing/{HALF}")[EPS[L].index(eps)]
            ratio, expected = times[0] / times[2], digits[OBJECTIVES.index(objective)]
            places = len(expected.split(".")[1])
            out.append(
                self.claim(
                    f"slowdown-{objective}-L{L}-eps{eps:g}", f"{objective.upper()}, depth {L}, eps = {eps:g}, equal lambda: "
                    f"critical time at rho = 0.5 over that at rho = 1, to {places} decimals",
                    "theory section 4", expected, around(float(expected), 0.5 * 10**-places), ratio,
                )
            )  # fmt: skip
        return out

    def remainders(self) -> list[Claim]:
        out = []
        for L in (2, 3, 4):
            r = {o: self.remainder(o, L) for o in OBJECTIVES}
            u0 = SMALL ** (1 / L)
            terms = np.stack([np.log(1 / SMALL), np.ones_like(u0), u0, u0**2], 1)  # the logarithm, a constant, corrections
            slope = np.linalg.lstsq(terms, r["jepa"])[0][0] * L * RHO ** (2 * L - 1)
            out.append(
                self.claim(
                    f"remainder-jepa-L{L}", f"JEPA, depth {L}: exact minus leading-order critical time grows like log(1/eps): fitted slope, "
                    "beside a constant and powers of eps^(1/L), in units of rho^(1-2L) / (L lambda), within 5 % of 1 (range over rho)",
                    "theory section 3; constant: docs/theory.md", "1", around(1, 0.05), slope,
                )
            )  # fmt: skip
            powers = np.array([exponent(SMALL[:-1], np.diff(column)) for column in r["mae"].T])
            out.append(
                self.claim(
                    f"remainder-mae-L{L}", f"MAE, depth {L}: exact minus leading-order critical time approaches a constant; its "
                    "changes fall like eps^(2/L) (fitted exponent within 0.05; range over rho)",
                    "theory section 3; exponent: docs/theory.md", f"{2 / L:.3f}", around(2 / L, 0.05), powers,
                )
            )  # fmt: skip
            times = exact.critical_time("jepa", 1.0, RHO, L, SMALL[:, None], FRACTION)
            rest = times[:, 0] / times[:, 2] - asymptotic.slowdown("jepa", RHO[0], RHO[2], L, SMALL)
            power = exponent(SMALL, rest)
            out.append(
                self.claim(
                    f"slowdown-remainder-L{L}", f"JEPA, depth {L}: what the leading-order slowdown at equal lambda leaves out falls "
                    "like eps^(2/L) (fitted exponent within 0.1)",
                    "theory section 4", f"{2 / L:.3f}", around(2 / L, 0.1), power,
                )
            )  # fmt: skip
        return out

    def remainder(self, objective: Objective, depth: int) -> NDArray:
        """Exact minus leading-order critical time [eps, rho] at lambda = 1."""
        leading = asymptotic.critical_time(objective, 1.0, RHO, depth, SMALL[:, None])
        return exact.critical_time(objective, 1.0, RHO, depth, SMALL[:, None], FRACTION) - leading

    def figures(self, results: Results) -> Figures:
        from study import figures

        measured = {(o, L): read(results[f"{o}-L{L}"], f"linear/crossing/{HALF}") for o in OBJECTIVES for L in EPS}
        caption = (
            "Critical time (half of the own fixed point) over the initial scale eps at lambda = 1. Dots: integrated networks; "
            "lines: exact theory; dotted: leading order. Colour: rho."
        )
        return {caption: figures.times_over_scale(measured, EPS, RHO, FRACTION)}
