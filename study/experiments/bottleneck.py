"""Prediction D: which features an encoder keeps that has room for only some of them.

Claim: A deep linear encoder with k < d features and small random weights keeps the k features that win the race: those of high rho
for a deep JEPA, those of high lambda for MAE.
Command: study run bottleneck
Expected: fails. The random overlap of the first layer with each feature decides what is learned first, and not for long: what is kept
at the end is the k highest rho for JEPA at every depth, and the k highest lambda rho for MAE, the order of reduced-rank regression.
Time: about 1 minute on 2 CPU cores.

Every network has its own random lambda and rho (neighbouring rho at least 0.03 apart, and lambda rho). Learned first: the k features
whose gain first reaches half of its fixed point; kept: gain above half of the fixed point at the end of training.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from study.experiments.base import Claim, Figures, Plan, Results, check_count
from study.experiments.linear import FRACTION, HALF, OBJECTIVES, LinearExperiment, read
from study.experiments.verdict import Region
from study.statistics import binomial
from study.theory import exact, flow
from study.theory.flow import Objective

DEPTHS, EPS, D, K, END = (1, 2, 3), 1e-3, 5, 2, 1e6
GAP = 0.03


def top(values: NDArray, k: int = K) -> NDArray:
    """Whether each feature is among the k largest of its row."""
    return values.argsort(1).argsort(1) >= values.shape[1] - k


@dataclass
class Bottleneck(LinearExperiment):
    """Features kept by a bottleneck.

    Args:
        tolerance: relative error of one step of the integrator.
        networks: data sets, each with a network of its own.
        seed: of the data sets.
    """

    free = ("tolerance", "networks", "seed")
    name = "bottleneck"
    expected = "6 runs of 40 networks, about 1 min on 2 cores"
    minutes = 1
    networks: int = 40
    seed: int = 0

    def __post_init__(self) -> None:
        check_count("networks", self.networks)
        check_count("seed", self.seed, least=0, most=2**63 - 1)

    def features(self) -> tuple[NDArray, NDArray]:
        """lam, rho [networks, D]: lam in [0.5, 1], rho in [0.5, 1], against each other on average."""
        generator, found = np.random.default_rng(self.seed), list[tuple[NDArray, NDArray]]()
        while len(found) < self.networks:
            lam, rho = 0.5 + 0.5 * generator.uniform(size=(2, D))
            apart = min(np.diff(np.sort(v)).min() for v in (rho, lam, lam * rho))
            if apart > GAP:
                found.append((lam, rho))
        lam, rho = np.array(found).transpose(1, 0, 2)
        return lam, rho

    def plan(self) -> Plan:
        lam, rho = self.features()
        yield {
            f"{o}-L{L}": self.integration(
                f"{o}-L{L}",
                o,
                lam,
                rho,
                L,
                EPS,
                END,
                {HALF: FRACTION * flow.fixed_point(o, rho, L)},
                features=K,
                basis="diagonal",
            )
            for L in DEPTHS
            for o in OBJECTIVES
        }

    def sets(self, results: Results, objective: Objective, depth: int) -> dict[str, NDArray]:
        """Sets of K features [networks, D]: predicted and measured."""
        lam, rho = self.features()
        result = results[f"{objective}-L{depth}"]
        return {
            "won the race (theory)": top(-exact.critical_time(objective, lam, rho, depth, EPS, FRACTION)),
            "highest rho": top(rho),
            "highest lambda": top(lam),
            "highest lambda rho": top(lam * rho),
            "learned first": top(-read(result, f"linear/crossing/{HALF}")),
            "kept": read(result, "linear/gain") > FRACTION * flow.fixed_point(objective, rho, depth),
        }

    def claims(self, results: Results) -> list[Claim]:
        out = []
        for objective in OBJECTIVES:
            final = "highest rho" if objective == "jepa" else "highest lambda rho"
            for L in DEPTHS:
                sets = self.sets(results, objective, L)
                for name, what, measured, predicted, source in (
                    ("race", "the features learned first are those with the smallest exact critical times", "learned first",
                     "won the race (theory)", "theory section 6 D"),
                    ("winners-kept", "the features kept at the end are those that won the race", "kept",
                     "won the race (theory)", "theory section 6 D"),
                    ("kept", f"the features kept at the end are those of {final}", "kept", final,
                     "stability of the stationary points, docs/theory.md"),
                ):  # fmt: skip
                    right = (sets[measured] == sets[predicted]).all(1)
                    out.append(
                        self.claim(
                            f"{name}-{objective}-L{L}", f"{objective.upper()}, depth {L}, room for {K} of {D} features: {what} (share of "
                            "networks, at least 0.9; 95 % Clopper-Pearson interval)",
                            source, ">= 0.9", Region(at_least=0.9), binomial(int(right.sum()), right.size), measured=right.mean(),
                            n=right.size,
                        )
                    )  # fmt: skip
        return out

    def reported(self, results: Results) -> list[dict[str, Any]]:
        rows = []
        for objective in OBJECTIVES:
            for L in DEPTHS:
                sets = self.sets(results, objective, L)
                for measured in ("learned first", "kept"):
                    row: dict[str, Any] = {"objective": objective.upper(), "depth": L, "set": measured}
                    for name in list(sets)[:4]:
                        row[f"equals {name}, %"] = f"{100 * (sets[measured] == sets[name]).all(1).mean():.0f}"
                    rows.append(row)
        return rows

    def figures(self, results: Results) -> Figures:
        from study import figures

        lam, rho = self.features()
        kept = {(o, L): self.sets(results, o, L)["kept"] for o in OBJECTIVES for L in DEPTHS}
        caption = (
            f"Features kept at the end (filled) and dropped (open) by encoders with room for {K} of {D}: JEPA keeps high rho, MAE "
            "high lambda rho (grey lines: equal lambda rho)."
        )
        return {caption: figures.kept_features(kept, lam, rho)}
