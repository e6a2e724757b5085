"""Prediction E: what survives of the order without the paper's assumptions.

Claim: With lambda against rho, a JEPA of depth 3 learns high rho first and MAE high lambda first also from random, unbalanced and
rectangular initial weights, under large steps, minibatch noise, momentum and Adam.
Command: study run robustness
Expected: unbalanced weights, large steps, momentum and minibatch noise keep the order. Random weights drown it: their initial gains
differ by more than lambda and rho do. Adam disturbs it, for JEPA it turns it around.
Time: about 3 minutes on 2 CPU cores.

Compared is the order of the critical times (half of the own fixed point) with the exact theory's for balanced weights at the same
eps, by Spearman's rank correlation over the features that were learned, one value per seed. Initialisations are integrated;
optimisers train.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from study.experiments.base import Claim, Figures, Plan, Results, check_count
from study.experiments.linear import (
    FRACTION,
    HALF,
    OBJECTIVES,
    LinearExperiment,
    first_reached,
    read,
    trained_gains,
    training,
)
from study.experiments.verdict import Region
from study.running.run import Run
from study.statistics import interval
from study.theory import exact, flow
from study.theory.flow import Objective

LAM, RHO = np.linspace(1, 0.8, 6), np.linspace(0.6, 1, 6)
DEPTH, EPS = 3, 0.02
INITS: dict[str, dict[str, Any]] = {
    "balanced": {},
    "unbalanced": {"init": "unbalanced"},
    "orthogonal, wide": {"hidden": 10},
    "ordinary": {"init": "normal"},
    "ordinary, wide": {"init": "normal", "hidden": 10},
    "ordinary, narrow": {"init": "normal", "hidden": 4, "features": 4},
}
END = 1e8  # ordinary square weights have small singular values, and their modes wait long
# Learning rates where Euler's step is the flow's are near 0.02 (JEPA) and 0.006 (MAE).
OPTIMISERS: dict[str, dict[str, Any]] = {
    "large steps": {"lr": {"jepa": 0.3, "mae": 0.3}},
    "minibatches of 256": {"lr": {"jepa": 0.05, "mae": 0.05}, "batch": 256},
    "minibatches of 16": {"lr": {"jepa": 0.05, "mae": 0.05}, "batch": 16},
    "momentum 0.9": {"lr": {"jepa": 0.02, "mae": 0.02}, "momentum": 0.9},
    "Adam": {"lr": {"jepa": 1e-3, "mae": 1e-3}, "optimizer": "adamw"},
}
MEASUREMENTS = 400


@dataclass
class Robustness(LinearExperiment):
    """Order of learning beyond the paper's assumptions.

    Args:
        tolerance: relative error of one step of the integrator.
        seeds: initial weights, and minibatches, per variation.
    """

    free = ("tolerance", "seeds")
    name = "robustness"
    expected = "22 runs of 10 networks, about 3 min on 2 cores"
    minutes = 3
    seeds: int = 10

    def __post_init__(self) -> None:
        check_count("seeds", self.seeds, least=2)

    def exact(self, objective: Objective) -> NDArray:
        return exact.critical_time(objective, LAM, RHO, DEPTH, EPS, FRACTION)

    def plan(self) -> Plan:
        yield {f"{o} {v}": self.run(o, v) for v in (*INITS, *OPTIMISERS) for o in OBJECTIVES}

    def run(self, objective: Objective, variation: str) -> Run:
        name = f"{objective}-{variation.replace(',', '').replace(' ', '-')}"
        shape, seeds = np.ones((self.seeds, 1)), list(range(self.seeds))
        if variation in INITS:
            half = FRACTION * flow.fixed_point(objective, RHO, DEPTH)
            return self.integration(name, objective, LAM * shape, RHO, DEPTH, EPS, END, {HALF: half}, **INITS[variation])
        options = dict(OPTIMISERS[variation])
        lr = options.pop("lr")[objective]
        # Adam moves every entry by about lr per update, whatever the gradient.
        speed = 1.0 if "optimizer" in options else lr / (1 - options.get("momentum", 0.0))
        updates = 4000 if "optimizer" in options else 1.5 * self.exact(objective).max() / speed
        every = max(1, round(updates / MEASUREMENTS))
        return training(
            self.name, name, objective, self.device, (LAM * shape).tolist(), (RHO * shape).tolist(), DEPTH, EPS, seeds,
            [lr] * self.seeds, every, MEASUREMENTS, **options,
        )  # fmt: skip

    def times(self, results: Results, objective: Objective, variation: str) -> NDArray:
        """Critical times [seeds, d]."""
        result = results[f"{objective} {variation}"]
        if variation in INITS:
            return read(result, f"linear/crossing/{HALF}")
        return first_reached(*trained_gains(result, RHO), FRACTION * flow.fixed_point(objective, RHO, DEPTH))

    def correlations(self, results: Results, objective: Objective, variation: str) -> NDArray:
        """Rank correlation with the exact times over the features that were learned, per seed that learned at least 3."""
        times = self.times(results, objective, variation)
        learned = np.isfinite(times)
        theory = self.exact(objective)
        enough = learned.sum(1) >= 3
        return np.array([spearmanr(t[k], theory[k]).statistic for t, k in zip(times[enough], learned[enough], strict=True)])

    def claims(self, results: Results) -> list[Claim]:
        out = []
        for variation in (*INITS, *OPTIMISERS):
            for objective in OBJECTIVES:
                found = self.correlations(results, objective, variation)
                mean, low, high = interval(found)
                which = "high rho" if objective == "jepa" else "high lambda"
                out.append(
                    self.claim(
                        f"{objective}-{variation.replace(',', '').replace(' ', '-')}", f"{objective.upper()}, depth {DEPTH}, eps = {EPS:g}, "
                        f"{variation}: {which} is learned first; rank correlation of critical times with the exact ones, mean over "
                        "seeds at least 0.9 (95 % Student interval)",
                        "theory section 6 E", ">= 0.9", Region(at_least=0.9), [low, high], measured=mean, n=len(found),
                    )
                )  # fmt: skip
        return out

    def reported(self, results: Results) -> list[dict[str, Any]]:
        rows = []
        for variation in (*INITS, *OPTIMISERS):
            row: dict[str, Any] = {"variation": variation}
            for objective in OBJECTIVES:
                times = self.times(results, objective, variation)
                row[f"{objective.upper()}: learned, of {len(RHO)}"] = f"{np.isfinite(times).sum(1).mean():.1f}"
                first = RHO[times.argmin(1)].mean()
                row[f"{objective.upper()}: mean rho of the first feature"] = f"{first:.2f}"
            rows.append(row)
        return rows

    def figures(self, results: Results) -> Figures:
        from study import figures

        found = {v: {o: self.correlations(results, o, v) for o in OBJECTIVES} for v in (*INITS, *OPTIMISERS)}
        caption = (
            f"Rank correlation of critical times (half of the own fixed point) with the exact theory's for balanced weights, depth "
            f"{DEPTH}, eps = {EPS:g}. Dots: seeds; bars: mean with 95 % Student interval."
        )
        return {caption: figures.correlations(found)}
