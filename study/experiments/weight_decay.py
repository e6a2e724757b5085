"""Prediction B: weight decay turns the bias in time into a selection.

Claim: With weight decay eta on all layers a deep linear JEPA keeps a feature only if lambda rho^{2L-1} c_L > eta, and MAE only if
lambda rho^{(L-1)/(L+1)} m_L > eta, so that JEPA's selection against low rho is exponential in depth. From tiny initial weights
decay kills everything.
Command: study run weight_decay
Expected: right for every feature alone in its network. Among other features it fails for deep MAE, where a kept feature is turned
towards one that decay has removed; MAE at depth 1 is not killed from tiny weights.
Time: about 1 minute on 2 CPU cores.

Networks start large (every singular value 1, above every fixed point) with eta at 0.9 to 1.1 of the predicted threshold of one of
their features, which is alone or together with the others; and again from eps = 1e-4 with eta at a tenth of the smallest
threshold. Kept: gain above 1e-3 at the end.
"""

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from study.experiments.base import Claim, Figures, Plan, Results
from study.experiments.linear import OBJECTIVES, LinearExperiment, read
from study.experiments.verdict import Region
from study.running.run import Run
from study.theory.flow import Objective
from study.theory.predictions import decayed_gain, escape_rate, largest_decay

RHO = np.array([0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
LAM = np.array([1.0, 0.9, 1.0, 0.8, 1.0, 0.7])
DEPTHS = (1, 2, 3, 4)
MULTIPLES = (0.9, 0.95, 0.98, 1.02, 1.05, 1.1)  # of a feature's threshold
TINY, KEPT = 1e-4, 1e-3
STARTS = ("alone", "together", "tiny")


@dataclass
class WeightDecay(LinearExperiment):
    """Which features survive weight decay.

    Args:
        tolerance: relative error of one step of the integrator.
    """

    free = ("tolerance",)
    name = "weight_decay"
    expected = "24 runs of 1 to 36 networks, about 2 min on 2 cores"
    minutes = 2

    def plan(self) -> Plan:
        yield {f"{o}-L{L}-{start}": self.run(o, L, start) for o in OBJECTIVES for L in DEPTHS for start in STARTS}

    def decays(self, objective: Objective, depth: int) -> NDArray:
        """eta of every network that starts large: the thresholds of the features, times each of MULTIPLES."""
        return (largest_decay(objective, LAM, RHO, depth)[:, None] * np.array(MULTIPLES)).ravel()

    def run(self, objective: Objective, depth: int, start: str) -> Run:
        eta, eps = self.decays(objective, depth), 1.0
        lam, rho = (np.tile(v, (len(eta), 1)) for v in (LAM, RHO))
        if start == "alone":
            lam, rho = (np.repeat(v, len(MULTIPLES))[:, None] for v in (LAM, RHO))
        if start == "tiny":
            eta, eps, lam, rho = largest_decay(objective, LAM, RHO, depth).min(keepdims=True) / 10, TINY, lam[:1], rho[:1]
        # Far beyond the bottleneck that a saddle-node leaves, of duration some 1 / (eta sqrt(distance)), and the slow decay
        # of a single layer, of rate 2 (eta - lambda).
        until = 3000 / eta
        return self.integration(
            f"{objective}-L{depth}-{start}", objective, lam, rho, depth, eps, until, weight_decay=eta.tolist()
        )

    def predicted(self, objective: Objective, depth: int) -> NDArray:
        """Gains that every feature would keep alone [networks, features]."""
        etas = self.decays(objective, depth)
        return np.array([[decayed_gain(objective, *f, depth, eta) for f in zip(LAM, RHO, strict=True)] for eta in etas])

    def stable(self, objective: Objective, depth: int) -> NDArray:
        """Whether no feature that is kept alone is turned towards one that is not [networks]."""
        out = []
        for eta, kept in zip(self.decays(objective, depth), self.predicted(objective, depth) > 0, strict=True):
            dropped = (LAM[~kept], RHO[~kept])
            rates = [escape_rate(objective, f, dropped, depth, eta) for f in zip(LAM[kept], RHO[kept], strict=True)]
            out.append(all((r <= 0).all() for r in rates))
        return np.array(out)

    def claims(self, results: Results) -> list[Claim]:
        out = []
        for objective, L in itertools.product(OBJECTIVES, DEPTHS):
            law = "rho^(2L-1)" if objective == "jepa" else "rho^((L-1)/(L+1))"
            where, predicted = f"{objective.upper()}, depth {L}", self.predicted(objective, L)
            own = predicted[np.arange(len(predicted)), np.repeat(np.arange(len(RHO)), len(MULTIPLES))]
            alone = read(results[f"{objective}-L{L}-alone"], "linear/gain")[:, 0]
            together = read(results[f"{objective}-L{L}-together"], "linear/gain")
            right = (alone > KEPT) == (own > KEPT)
            out.append(
                self.claim(
                    f"alone-{objective}-L{L}", f"{where}: share of features, each alone in its network, kept or lost as predicted by lambda "
                    f"{law} times a constant against eta, at 2 to 10 % from the threshold (all)",
                    "theory section 6 B", "1", Region(at_least=1), right.mean(), n=right.size,
                )
            )  # fmt: skip
            off = np.abs(alone - own)
            out.append(
                self.claim(
                    f"gain-{objective}-L{L}", f"{where}: a feature kept alone ends at the larger root of (du/dt)/u = eta (largest error, at "
                    "most 1e-3)",
                    "theory section 6 B", "0 (<= 0.001)", Region(at_most=1e-3), off.max(), n=off.size,
                )
            )  # fmt: skip
            near = np.abs(self.decays(objective, L)[:, None] / largest_decay(objective, LAM, RHO, L) - 1) < 0.01
            right = (((together > KEPT) == (predicted > KEPT)) | near).all(1)
            out.append(
                self.claim(
                    f"together-{objective}-L{L}", f"{where}: share of networks of six features that keep exactly the features of the same law "
                    "(all; features within 1 % of their threshold are left out)",
                    "theory section 6 B", "1", Region(at_least=1), right.mean(), n=right.size,
                )
            )  # fmt: skip
            calm = right[self.stable(objective, L)]
            out.append(
                self.claim(
                    f"stable-{objective}-L{L}", f"{where}: the same among networks in which no kept feature is unstable against turning towards "
                    "a removed one (all)",
                    "escape_rate, docs/theory.md", "1", Region(at_least=1), calm.mean() if calm.size else np.nan, n=calm.size,
                )
            )  # fmt: skip
            alive = (read(results[f"{objective}-L{L}-tiny"], "linear/gain") > KEPT).mean()
            out.append(
                self.claim(
                    f"tiny-{objective}-L{L}", f"{where}: from eps = {TINY:g} and eta a tenth of the smallest threshold, weight decay kills every "
                    "feature (share still alive)",
                    "theory section 6 B", "0", Region(at_most=0), alive, n=len(RHO),
                )
            )  # fmt: skip
        return out

    def reported(self, results: Results) -> list[dict[str, Any]]:
        rows = []
        for objective, L in itertools.product(OBJECTIVES, DEPTHS):
            together = read(results[f"{objective}-L{L}-together"], "linear/gain") > KEPT
            thresholds = largest_decay(objective, np.ones(6), RHO, L)
            rows.append({
                "objective": objective.upper(), "depth": L,
                "threshold at rho = 1 over that at rho = 0.5": f"{thresholds[-1] / thresholds[0]:.3g}",
                "networks with an unstable kept feature": int((~self.stable(objective, L)).sum()),
                "networks that keep another set": int((together != (self.predicted(objective, L) > KEPT)).any(1).sum()),
                "networks": len(together),
            })  # fmt: skip
        return rows

    def figures(self, results: Results) -> Figures:
        from study import figures

        rho = np.linspace(RHO.min(), RHO.max(), 100)
        panels = {}
        for objective, L in itertools.product(OBJECTIVES, DEPTHS):
            kept = read(results[f"{objective}-L{L}-together"], "linear/gain") > KEPT
            panels[objective, L] = (rho, largest_decay(objective, 1.0, rho, L), self.decays(objective, L)[:, None] / LAM, kept)
        caption = (
            "Which features survive weight decay eta among six, from large initial weights. Line: predicted threshold of eta / "
            "lambda; dots: features of integrated networks, filled where kept. Open dots below the line: features of MAE that "
            "were turned towards removed ones."
        )
        return {caption: figures.survival(panels, RHO)}
