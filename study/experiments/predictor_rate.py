"""Prediction A: what a faster or slower predictor does to JEPA.

Claim: When the head of a deep linear JEPA learns kappa times as fast as its encoder, u^2 - v^2 / kappa is conserved in every mode,
so that training ends at u^2 = u0^2 + (rho^2 - v0^2) / kappa; a feature with v0^2 > rho^2 + kappa u0^2 collapses; a predictor that
is always optimal leaves the encoder where it was.
Command: study run predictor_rate
Expected: final gains within 1e-3 of the formula, every collapse predicted.
Time: about 1 minute on 2 CPU cores.

u is the singular value of every encoder layer, v that of the head. Networks differ in kappa and in the head's initial size.
"""

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from study.experiments.base import Claim, Figures, Plan, Results
from study.experiments.linear import LinearExperiment, read
from study.experiments.verdict import Region, around
from study.theory.predictions import final_encoder

RHO = np.array([0.5, 0.7, 0.9, 1.1])
KAPPAS = (0.1, 0.3, 1.0, 3.0, 10.0, 100.0, 1000.0)
HEADS = (None, 0.85, 1.4)  # v0; none: equal to u0
DEPTHS, EPS, END = (1, 2, 4), 0.05, 1e9  # from L = 2 on a collapsing mode falls like t^(-L/(2L-2))
VANISHED = 1e-5


@dataclass
class PredictorRate(LinearExperiment):
    """Final encoders over kappa.

    Args:
        tolerance: relative error of one step of the integrator.
    """

    free = ("tolerance",)
    name = "predictor_rate"
    expected = "3 runs of 21 networks, about 1 min on 2 cores"
    minutes = 1

    def plan(self) -> Plan:
        kappa, ones = [k for k in KAPPAS for _ in HEADS], np.ones((len(KAPPAS) * len(HEADS), len(RHO)))
        yield {
            f"L{L}": self.integration(
                f"L{L}",
                "jepa",
                ones,
                RHO,
                L,
                EPS,
                END,
                kappa=kappa,
                flow={"head": (self.heads(L) / EPS ** (1 / L)).tolist() * len(KAPPAS)},
            )
            for L in DEPTHS
        }

    def heads(self, depth: int) -> NDArray:
        """Initial v0 of the head."""
        return np.array([EPS ** (1 / depth) if v is None else v for v in HEADS])

    def predicted(self, depth: int) -> NDArray:
        """Final gains w = u^L [kappa, head, feature]."""
        kappa, v0 = np.array(KAPPAS)[:, None, None], self.heads(depth)[None, :, None]
        return final_encoder(RHO, EPS ** (1 / depth), v0, kappa) ** depth

    def final(self, results: Results, depth: int) -> NDArray:
        return read(results[f"L{depth}"], "linear/gain").reshape(len(KAPPAS), len(HEADS), len(RHO))

    def claims(self, results: Results) -> list[Claim]:
        out = []
        for L in DEPTHS:
            predicted, final = self.predicted(L), self.final(results, L)
            off = np.abs(final - predicted) / np.maximum(1, predicted)
            out.append(
                self.claim(
                    f"final-L{L}", f"JEPA, depth {L}, kappa {KAPPAS[0]:g} to {KAPPAS[-1]:g}, v0 = u0, 0.85 or 1.4: final gains are "
                    "(u0^2 + (rho^2 - v0^2) / kappa)^(L/2), or 0 after a collapse, within 1e-3 (largest error over networks and "
                    "features, relative above 1)",
                    "theory section 6 A", "0 (<= 0.001)", Region(at_most=1e-3), off.max(), n=off.size,
                )
            )  # fmt: skip
            right = (final < VANISHED) == (predicted == 0)
            out.append(
                self.claim(
                    f"collapse-L{L}", f"JEPA, depth {L}: share of networks and features whose collapse (gain below 1e-5) "
                    f"or survival is predicted by v0^2 > rho^2 + kappa u0^2; {int((predicted == 0).sum())} collapse",
                    "theory section 6 A", "1", Region(at_least=1), right.mean(), n=right.size,
                )
            )  # fmt: skip
            moved = np.abs(final[3:, 0] ** (2 / L) - EPS ** (2 / L))
            powers = np.polyfit(np.log(KAPPAS[3:]), np.log(moved), 1)[0]
            out.append(
                self.claim(
                    f"optimal-head-L{L}", f"JEPA, depth {L}: the faster the head, the less the encoder moves: exponent of |u^2 - u0^2| over "
                    f"kappa from {KAPPAS[3]:g} to {KAPPAS[-1]:g}, within 0.02 of -1 (range over features)",
                    "theory section 6 A", "-1", around(-1, 0.02), powers,
                )
            )  # fmt: skip
        return out

    def reported(self, results: Results) -> list[dict[str, Any]]:
        rows = []
        for L, (i, kappa) in itertools.product(DEPTHS, enumerate(KAPPAS)):
            final = self.final(results, L)[i, 0]
            rows.append(
                {"depth": L, "kappa": f"{kappa:g}"}
                | {f"final gain, rho = {r:g}": f"{w:.3f}" for r, w in zip(RHO, final, strict=True)}
            )
        return rows

    def figures(self, results: Results) -> Figures:
        from study import figures

        kappa = np.logspace(-1, 3, 200)
        panels = {}
        for L, (j, head) in itertools.product(DEPTHS, enumerate(HEADS)):
            theory = final_encoder(RHO, EPS ** (1 / L), self.heads(L)[j], kappa[:, None]) ** L
            panels[f"L = {L}, v0 = {'u0' if head is None else head}"] = (
                kappa,
                theory,
                np.array(KAPPAS),
                self.final(results, L)[:, j],
            )
        caption = (
            "Final gain of features over the head's learning rate kappa (relative to the encoder's), eps = 0.05. Lines: "
            "(u0^2 + (rho^2 - v0^2) / kappa)^(L/2); dots: integrated networks; zero: the feature has collapsed. Colour: rho."
        )
        return {caption: figures.over_parameter(panels, RHO, "kappa", "final gain w", columns=len(HEADS))}
