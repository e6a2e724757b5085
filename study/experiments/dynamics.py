"""Deep linear networks follow the theory: trained gains against the exact trajectories.

Claim: Trained JEPA and MAE networks follow the exact solution of theory section 2 along the whole trajectory; JEPA learns
high rho first once it is deep, MAE high lambda at every depth.
Command: study run dynamics
Expected: errors of 0.5 to 0.8 % of the fixed point; JEPA's order flips from lambda to rho between depth 2 and 3.
Time: about 1 minute on 2 CPU cores.

Each run trains one stack on exact moments in float64: two data sets (rho varied at equal lambda; lambda against rho) with
`seeds` rotations of the initial weights, and the first rotation again at sqrt(2) and 2 times the learning rate.
"""

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.stats import spearmanr

from study.experiments.base import Claim, Figures, Plan, Results, TrainingExperiment, check_count
from study.experiments.linear import FRACTION, TARGETS, first_reached, trained_gains, training
from study.experiments.verdict import Region, around
from study.running.run import Run
from study.theory import exact, flow

RHO = (0.6, 0.68, 0.76, 0.84, 0.92, 1.0)
SETS = {"equal lambda": (1.0,) * 6, "lambda against rho": (1.0, 0.96, 0.92, 0.88, 0.84, 0.8)}
MULTIPLES = (1.0, 2**0.5, 2.0)
# Largest rates at which Euler's step stays within 1 % of the flow, by depth.
RATES = {"jepa": {1: 0.0125, 2: 0.015, 3: 0.02, 4: 0.025}, "mae": {1: 0.01, 2: 0.007, 3: 0.006, 4: 0.005}}
TOLERANCE = 0.01
MEASUREMENTS = 800  # dense enough to interpolate the steepest part at twice the base rate; half as dense is not


@dataclass
class Dynamics(TrainingExperiment):
    """Trained deep linear networks over theory.

    Args:
        seeds: random rotations of the initial weights.
        depths: depths L of the encoders.
        eps: initial gain of every feature.
    """

    free = ("seeds", "depths")
    name = "dynamics"
    expected = "8 runs of 14 networks, about 1 min on 2 cores"
    minutes = 1
    example = "--depths 2,3 --seeds 3"
    seeds: int = 5
    depths: tuple[int, ...] = (1, 2, 3, 4)
    eps: float = 0.02

    def __post_init__(self) -> None:
        super().__post_init__()
        self.depths = tuple(self.depths)
        self._gains: dict[Path, tuple[NDArray, NDArray, NDArray]] = {}
        check_count("seeds", self.seeds)
        if not self.depths or not set(self.depths) <= set(RATES["jepa"]) or len(set(self.depths)) < len(self.depths):
            raise ValueError(f"depths must be among {', '.join(map(str, RATES['jepa']))}, each once, found {list(self.depths)}")
        limit = min(RHO) ** max(self.depths)
        if not 0 < self.eps <= FRACTION * limit:
            raise ValueError(
                f"eps must lie in (0, {FRACTION * limit:.3g}], half the smallest fixed point, so that every feature is "
                f"learned; found {self.eps}"
            )

    def networks(self) -> list[tuple[int, str, float]]:
        """(seed, data set, multiple of the base rate) of each network of a stack: all seeds at the base rate, and the first
        at its multiples."""
        return [*itertools.product(range(self.seeds), SETS, MULTIPLES[:1]), *itertools.product([0], SETS, MULTIPLES[1:])]

    def roles(self) -> list[tuple[flow.Objective, int]]:
        return list(itertools.product(TARGETS, self.depths))

    def plan(self) -> Plan:
        yield {f"{objective}-L{depth}": self.run(objective, depth) for objective, depth in self.roles()}

    def run(self, objective: flow.Objective, depth: int) -> Run:
        networks, rate = self.networks(), RATES[objective][depth]
        end = max(np.max(exact.critical_time(objective, lam, RHO, depth, self.eps, 0.98)) for lam in SETS.values())
        every = max(1, round(1.05 * end / rate / MEASUREMENTS))
        seeds, lam = [seed for seed, _, _ in networks], [list(SETS[s]) for _, s, _ in networks]
        lr = [rate * multiple for _, _, multiple in networks]
        return training(
            self.name, f"{objective}-L{depth}", objective, self.device, lam, [list(RHO)] * len(lam), depth, self.eps, seeds, lr,
            every, MEASUREMENTS, observers=self.further(every),
        )  # fmt: skip

    def gains(self, results: Results, objective: flow.Objective, depth: int) -> tuple[NDArray, NDArray, NDArray]:
        """Times [T, N], trained gains and theory's gains [T, N, d] of a run, features in the order of RHO; read once."""
        result = results[f"{objective}-L{depth}"]
        if result.path in self._gains:
            return self._gains[result.path]
        times, gain = trained_gains(result, np.array(RHO))
        lam = np.array([SETS[s] for _, s, _ in self.networks()])
        theory = exact.trajectory(objective, times[..., None], lam, np.array(RHO), depth, self.eps)
        self._gains[result.path] = times, gain, theory
        return self._gains[result.path]

    def errors(self, results: Results, objective: flow.Objective, depth: int) -> NDArray:
        """Worst |w - theory| / fixed point over time and features, per network [N]. Between measurements the difference is
        interpolated by a cubic spline, so that its peak is not missed."""
        times, gain, theory = self.gains(results, objective, depth)
        index = np.arange(len(times))
        difference = CubicSpline(index, gain - theory)(np.arange(0, len(times) - 1, 0.25))
        return (np.abs(difference) / flow.fixed_point(objective, RHO, depth)).max((0, 2))

    def critical(self, results: Results, objective: flow.Objective, depth: int, data: str) -> NDArray:
        """Measured critical times [seeds, d] at the base rate: first crossing of FRACTION of the fixed point."""
        times, gain, _ = self.gains(results, objective, depth)
        chosen = [i for i, (_, s, m) in enumerate(self.networks()) if s == data and m == 1]
        level = FRACTION * flow.fixed_point(objective, RHO, depth)
        return first_reached(times[:, chosen], gain[:, chosen], level)

    def claims(self, results: Results) -> list[Claim]:
        multiples = np.array([m for _, _, m in self.networks()])
        seeds = np.array([s for s, _, _ in self.networks()])
        out = []
        for objective, depth in self.roles():
            error = self.errors(results, objective, depth)
            worst = np.array([error[(multiples == 1) & (seeds == s)].max() for s in range(self.seeds)])
            out.append(
                self.claim(
                    f"error-{objective}-L{depth}",
                    f"{objective.upper()}, depth {depth}: worst error of the trained gain over theory, in units of the fixed "
                    f"point, is at most {TOLERANCE:g} (range over seeds)",
                    "theory section 2",
                    f"0 (<= {TOLERANCE:g})",
                    Region(at_most=TOLERANCE),
                    worst,
                    measured=worst.max(),
                )
            )
            one = np.array([[error[self.networks().index((0, s, m))] for m in MULTIPLES] for s in SETS])
            slopes = np.diff(np.log2(one), axis=1) / np.diff(np.log2(MULTIPLES))
            out.append(
                self.claim(
                    f"order-of-error-{objective}-L{depth}",
                    f"{objective.upper()}, depth {depth}: this error is that of the finite learning rate, falling with its first "
                    "power (exponent within 0.15 of 1; range over data sets and steps of the rate by sqrt(2))",
                    "Euler's method",
                    "1",
                    around(1, 0.15),
                    slopes.ravel(),
                )
            )
            out += self.orders(results, objective, depth)
        return out

    def orders(self, results: Results, objective: flow.Objective, depth: int) -> list[Claim]:
        named = f"{objective.upper()}, depth {depth}"
        low, high = (exact.critical_time(objective, 1.0, rho, depth, self.eps, FRACTION) for rho in (RHO[0], RHO[-1]))
        times = self.critical(results, objective, depth, "equal lambda")
        ratio = times[:, 0] / times[:, -1]
        predicted = float(low / high)
        slow = self.claim(
            f"slowdown-{objective}-L{depth}",
            f"{named}: at equal lambda, critical time (half of the own fixed point) at rho = {RHO[0]:g} over that at "
            f"rho = {RHO[-1]:g}, within 1 % of theory (range over seeds)",
            "theory section 4",
            f"{predicted:.3f}",
            around(predicted, 0.01 * predicted),
            ratio,
        )
        lam = SETS["lambda against rho"]
        expected = spearmanr(exact.critical_time(objective, lam, RHO, depth, self.eps, FRACTION), RHO).statistic
        times = self.critical(results, objective, depth, "lambda against rho")
        found = np.array([spearmanr(t, RHO).statistic for t in times])
        first = "high rho" if expected < 0 else "high lambda"
        order = self.claim(
            f"first-{objective}-L{depth}",
            f"{named}: with lambda against rho, {first} is learned first: rank correlation of critical time (half of the own "
            "fixed point) with rho equals the exact theory's (range over seeds)",
            "theory sections 3 and 4",
            f"{expected:+.2f}",
            around(expected, 1e-9),
            found,
        )
        return [slow, order]

    def figures(self, results: Results) -> Figures:
        from study import figures

        panels = {(o, L): self.gains(results, o, L) for o, L in self.roles()}
        base = {s: next(i for i, (_, t, m) in enumerate(self.networks()) if t == s and m == 1) for s in SETS}
        out = {}
        for data, n in base.items():
            one = {key: (t[:, n], w[:, n], theory[:, n]) for key, (t, w, theory) in panels.items()}
            what = f"lambda = {SETS[data][0]:g} to {SETS[data][-1]:g}" if data != "equal lambda" else "lambda = 1 for all"
            out[
                f"Gain w of six features over gradient-flow time t (learning rate x updates), {data} ({what}). Dots: trained "
                "networks, first seed; lines: exact theory. Colour: rho."
            ] = figures.trajectories(one, RHO, self.depths)
        points = {
            (o, L): (
                exact.critical_time(o, np.array(lam), np.array(RHO), L, self.eps, FRACTION),
                self.critical(results, o, L, data),
            )
            for o, L in self.roles()
            for data, lam in [("lambda against rho", SETS["lambda against rho"])]
        }
        out[
            "Critical time (half of the own fixed point) where lambda falls as rho rises, over the smallest of the network. "
            "Line: exact theory; dots: trained networks, all seeds. Falling curves learn high rho first."
        ] = figures.critical_times(points, RHO, self.depths)
        multiples = np.array([m for _, _, m in self.networks()])
        scaling = {
            (o, L): [(RATES[o][L] * m, self.errors(results, o, L)[multiples == m].max()) for m in MULTIPLES]
            for o, L in self.roles()
        }
        out[
            "Worst distance of trained gains from theory, in units of the fixed point, over the learning rate: the error is "
            "the discretisation's and falls linearly."
        ] = figures.error_scaling(scaling, TOLERANCE)
        return out
