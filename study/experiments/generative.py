"""The paper's generative models from samples: strong noise against weak clean signals, and constant distractors.

Claim: In the static model (y a second noisy look at the same signal) MAE learns signals by their variance and a deep JEPA clean ones
before strong noisy ones; in the temporal model JEPA prefers signals that are slow and clean. A distractor that never changes has
rho near 1, and JEPA learns it first. The order is right from finitely many samples.
Command: study run generative
Expected: the whole order right from some ten thousand samples on, because neighbouring times differ by a few percent.
Time: about 1 minute on 2 CPU cores.

Threshold of every critical time: half of the fixed point that the exact moments give. Intervals over data sets of different seeds.
"""

import itertools
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from study.experiments.base import Claim, Figures, Plan, Results, check_count
from study.experiments.linear import FRACTION, HALF, OBJECTIVES, LinearExperiment, linear_model, read
from study.experiments.verdict import Region
from study.running.run import Run
from study.statistics import binomial
from study.theory import exact, flow, generative
from study.theory.flow import Objective

# Signal variance s, autocorrelation gamma and noise variance n of each component: strong and noisy first, weak and clean last.
MODELS: dict[str, dict[str, tuple[float, ...]]] = {
    "static": {"signal": (1.0, 0.9, 0.8, 0.7), "gamma": (1.0, 1.0, 1.0, 1.0), "noise": (1.0, 0.5, 0.2, 0.0175)},
    "temporal": {"signal": (1.2, 1.1, 0.9, 0.75), "gamma": (0.7, 0.75, 0.85, 0.95), "noise": (0.5, 0.3, 0.1, 0.02)},
    "constant distractor": {"signal": (1.0, 0.9, 0.9, 0.9), "gamma": (1.0, 0.6, 0.6, 0.6), "noise": (0.01, 0.05, 0.15, 0.3)},
}
SAMPLES = (100, 1000, 10_000, 100_000)
DEPTH, EPS = 4, 0.01


@dataclass
class Generative(LinearExperiment):
    """Order of learning in the static and temporal linear models.

    Args:
        tolerance: relative error of one step of the integrator.
        seeds: data sets, each with its own rotation and samples, for every number of samples.
    """

    free = ("tolerance", "seeds")
    name = "generative"
    expected = "30 runs of 20 networks, about 1 min on 2 cores"
    minutes = 1
    seeds: int = 20

    def __post_init__(self) -> None:
        check_count("seeds", self.seeds)

    def plan(self) -> Plan:
        yield {
            f"{model} {o} {samples}": self.run(model, o, samples)
            for model, o, samples in itertools.product(MODELS, OBJECTIVES, (*SAMPLES, None))
        }

    def theory(self, model: str, objective: Objective) -> tuple[NDArray, NDArray]:
        """Critical times and fixed points of the components."""
        lam, rho = generative.temporal(**MODELS[model])
        return exact.critical_time(objective, lam, rho, DEPTH, EPS, FRACTION), flow.fixed_point(objective, rho, DEPTH)

    def run(self, model: str, objective: Objective, samples: int | None) -> Run:
        times, ends = self.theory(model, objective)
        seeds, parts = list(range(self.seeds)), {name: list(values) for name, values in MODELS[model].items()}
        data = {**parts, "basis": "rotated", "samples": samples, "seeds": seeds}
        name, networks = (
            f"{model.replace(' ', '-')}-{objective}-{samples or 'exact'}",
            linear_model(objective, 4, DEPTH, EPS, seeds),
        )
        until = 5 * times.max()  # samples move the times
        return self.flow(name, networks, "TemporalPairs", data, until, {HALF: FRACTION * ends})

    def crossings(self, results: Results, model: str, objective: Objective, samples: int | None) -> NDArray:
        """Measured critical times [seeds, components]."""
        return read(results[f"{model} {objective} {samples}"], f"linear/crossing/{HALF}")

    def right(self, results: Results, model: str, objective: Objective, samples: int | None) -> NDArray:
        """Whether the whole order of the components is the exact theory's, per seed."""
        predicted = self.theory(model, objective)[0].argsort()
        return (self.crossings(results, model, objective, samples).argsort(1) == predicted).all(1)

    def claims(self, results: Results) -> list[Claim]:
        out = []
        for model, objective in itertools.product(("static", "temporal"), OBJECTIVES):
            lam, rho = generative.temporal(**MODELS[model])
            for samples in (None, SAMPLES[-1]):
                right = self.right(results, model, objective, samples)
                out.append(
                    self.claim(
                        f"{model}-{objective}-{samples or 'exact'}", f"{objective.upper()}, depth {DEPTH}, eps = {EPS:g}, {model} model, "
                        f"{'exact moments' if samples is None else f'{samples} samples'}: share of data sets whose order of learning "
                        "(half of the own fixed point) is the exact theory's, at least 0.9 (95 % Clopper-Pearson interval)",
                        "theory sections 3 and 5", ">= 0.9", Region(at_least=0.9), binomial(int(right.sum()), right.size),
                        measured=right.mean(), n=right.size,
                    )
                )  # fmt: skip
            strongest, cleanest = lam.argmax(), rho.argmax()
            times = self.crossings(results, model, objective, SAMPLES[-1])
            first = times.argmin(1) == (cleanest if objective == "jepa" else strongest)
            which = "cleanest (highest rho) and weakest" if objective == "jepa" else "strongest (highest lambda) and noisiest"
            out.append(
                self.claim(
                    f"first-{model}-{objective}", f"{objective.upper()}, depth {DEPTH}, eps = {EPS:g}, {model} model, {SAMPLES[-1]} samples: the "
                    f"{which} signal is learned first (share of data sets, at least 0.9; 95 % Clopper-Pearson interval)",
                    "theory section 5", ">= 0.9", Region(at_least=0.9), binomial(int(first.sum()), first.size),
                    measured=first.mean(), n=first.size,
                )
            )  # fmt: skip
        for objective in OBJECTIVES:
            first = self.crossings(results, "constant distractor", objective, SAMPLES[-1]).argmin(1) == 0
            out.append(
                self.claim(
                    f"distractor-{objective}", f"{objective.upper()}, depth {DEPTH}: a distractor that never changes (gamma = 1) is learned "
                    f"before changing signals, {SAMPLES[-1]} samples (share of data sets, at least 0.9; 95 % Clopper-Pearson interval)",
                    "theory section 5", ">= 0.9", Region(at_least=0.9), binomial(int(first.sum()), first.size),
                    measured=first.mean(), n=first.size,
                )
            )  # fmt: skip
        return out

    def reported(self, results: Results) -> list[dict[str, Any]]:
        rows = []
        for model, objective in itertools.product(MODELS, OBJECTIVES):
            row: dict[str, Any] = {"model": model, "objective": objective.upper()}
            for samples in (*SAMPLES, None):
                right = self.right(results, model, objective, samples)
                row[f"order right, {samples or 'exact moments'}"] = f"{int(right.sum())} of {right.size}"
            rows.append(row)
        return rows

    def figures(self, results: Results) -> Figures:
        from study import figures

        shares = {
            model: {
                o: [(n, r.mean(), *binomial(int(r.sum()), r.size)) for n in SAMPLES for r in [self.right(results, model, o, n)]]
                for o in OBJECTIVES
            }
            for model in MODELS
        }
        caption = (
            f"Share of data sets whose whole order of learning is that of the exact theory, over the number of samples behind the "
            f"moments (depth {DEPTH}, eps = {EPS:g}). Bars: 95 % Clopper-Pearson interval, {self.seeds} data sets each."
        )
        return {caption: figures.shares_over_samples(shares)}
