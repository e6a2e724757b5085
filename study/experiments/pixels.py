"""Noisy images: JEPA ignores a strong, weakly predictable distractor that MAE learns, and its probe shows it.

Claim: Under the hard distractor (K directions of covariance gamma A^2 above most of the image's, rho = gamma) a ReLU MLP
trained as JEPA has a distractor share of at most 0.05 and trained as MAE of at least 0.5, and JEPA's linear probe is at
least 8 points better.
Command: study run pixels [--images parquet --root FOLDER]
Expected on the built-in images: shares near 0.02 and 0.9, JEPA about 27 points ahead; on CIFAR-10 about 11.
Time: about 4 minutes on 2 CPU cores.

Learning rates are tuned for each objective and encoder on the validation split, over the same grid, on a seed of their own;
a rate that diverges for any of the final seeds gives way to the next best below it.
"""

import inspect
import math
from dataclasses import dataclass
from functools import partial
from typing import Any

from study.choices import Kind
from study.experiments.base import Claim, Figures, Plan, Results, curves, final, together
from study.experiments.comparison import ALL, Comparison
from study.experiments.images import BASELINES, PCA, RANDOM, RAW, TEST, VALIDATION, ImageExperiment
from study.experiments.linear import TARGETS
from study.experiments.verdict import Region, above
from study.running.result import Result
from study.running.run import Run
from study.statistics import spread
from study.terminal import say
from study.theory.flow import Objective

ENCODERS: dict[str, dict[str, Any]] = {
    "mlp": {"hidden": [256], "features": 64, "activation": "relu", "eps": 0.6**2},
    "linear": {"hidden": [64, 64], "features": 64, "activation": "linear", "eps": 0.6**3},
}
SHARES = ("linear/distractor", "jacobian/distractor")
STRONGEST = 16  # principal features that are compared, or all, where there are fewer


def strongest(result: Result) -> int:
    """How many principal features of this run are compared."""
    return min(STRONGEST, result.config["model"]["encoder"]["init_args"]["features"])


@dataclass
class Pixels(ImageExperiment):
    """JEPA and MAE on noisy images.

    Args:
        distractor: global (all pixels), patch (in patches) or smooth.
    """

    name = "pixels"
    expected = "8 runs of 4 to 5 networks, about 4 min on 2 cores"
    minutes = 4
    example = "--images cifar10 --root data --download --rates 1e-4,3e-4"
    distractor: Kind = "global"

    def run(
        self, objective: Objective, encoder: str, every: int, name: str, rates: list[float], inits: list[int], data: list[int]
    ) -> Run:
        same, inputs = {"every": every}, math.prod(self.made.shape)
        features = min(ENCODERS[encoder]["features"], inputs)
        config = {
            "trainer": {
                "accelerator": self.device,
                "callbacks": [
                    {"class_path": "study.observers.Alignment", "init_args": {**same, "k": min(STRONGEST, features), "recorded": 32}},
                    *([{"class_path": "study.observers.Probe", "init_args": same}] if self.made.labelled else []),
                    {"class_path": "study.observers.Health", "init_args": same},
                    *self.further(every),
                ],
            },
            "model": {
                "encoder": {
                    "class_path": "models.MLP",
                    "init_args": {**ENCODERS[encoder], "inputs": inputs, "features": features, "seeds": inits},
                },
                "objective": {"class_path": TARGETS[objective]},
                "lr": rates,
                "momentum": 0.9,
            },
            "data": self.views(data),
        }  # fmt: skip
        from study.running.training import Training

        return Training(self.name, name, config)

    def run_count(self) -> int:
        return 2 * len(ENCODERS) * len(TARGETS)

    def expected_work(self) -> float:
        return math.prod(self.made.shape) * self.updates * self.batch * (len(self.rates) + self.seeds)

    def views(self, seeds: list[int]) -> dict[str, Any]:
        """Two noisy views of every image, as a configuration."""
        return self.data(self.distractor, self.amplitude, {"class_path": "datamodules.pairings.Same"}, seeds, self.updates)

    def check_samples(self) -> None:
        """Raises ValueError: the linear maps of networks, of which claims are made, cannot be fitted on these samples."""
        from datamodules import SourcePairs
        from datamodules.directions import DENSE
        from datamodules.noise import check
        from study.arguments import made

        shape = self.made.shape
        check(self.distractor, shape, self.directions)
        pairs = made(SourcePairs, self.views([0]))
        pairs.setup()
        count, inputs = pairs.counts["train"], math.prod(shape)
        most = min(count, DENSE) - 1
        if inputs > most:
            sized = "size" in inspect.signature(type(self.made)).parameters
            smaller = f"give --size {math.isqrt(most // shape[0])} or less" if sized else "give samples of fewer numbers"
            raise ValueError(
                f"{self.made}: linear maps are fitted to networks on {count:,} training samples, so a sample can have {most:,} numbers at "
                f"most; found {inputs:,}; {smaller}, or more samples"
            )

    def plan(self) -> Plan:
        self.check_samples()
        if not self.made.labelled:
            say(
                f"{self.made}: no labels of two classes or more: no probe is made, and of the rates the largest that does not diverge "
                "is taken"
            )
        yield from together(self.trained(objective, encoder) for encoder in ENCODERS for objective in TARGETS)

    def trained(self, objective: Objective, encoder: str) -> Plan:
        """The plan of one encoder."""
        make = partial(self.run, objective, encoder)
        tuning, training = partial(make, self.updates), partial(make, max(1, self.updates // 5))
        return self.tuned(f"{objective}-{encoder}", tuning, training)

    def claims(self, results: Results) -> list[Claim]:
        jepa, mae = results["jepa-mlp"], results["mae-mlp"]
        on = f"{self.images} images, K = {self.directions}, A = {self.amplitude:g}, gamma = {self.gamma:g}, ReLU MLP"
        what = "the distractor's share of feature variance (best linear approximation; mean over seeds; 95 % Student interval)"
        wanted = [
            ("share-jepa", f"trained as JEPA, {what} is at most 0.05", "<= 0.05", Region(at_most=0.05), final(jepa, SHARES[0])),
            ("share-mae", f"trained as MAE, {what} is at least 0.5", ">= 0.5", Region(at_least=0.5), final(mae, SHARES[0])),
        ]
        if TEST in jepa.metrics:  # samples without labels have no probe
            wanted += [
                (
                    "probe-jepa-over-mae", "JEPA's linear probe beats MAE's by at least 8 points of test accuracy (mean over paired "
                    "seeds; 95 % Student interval)",
                    ">= 8 points", Region(at_least=8), 100 * (final(jepa, TEST) - final(mae, TEST)),
                ),
                (
                    "probe-jepa-over-random", "JEPA's linear probe beats its own random encoder's (mean over paired seeds; 95 % "
                    "Student interval)",
                    "> 0 points", above(0), 100 * (final(jepa, TEST) - final(jepa, RANDOM)),
                ),
            ]  # fmt: skip
        return [
            self.claim_on_mean(name, f"{on}: {statement}", predicted, region, values)
            for name, statement, predicted, region, values in wanted
        ]

    def reported(self, results: Results) -> list[dict[str, Any]]:
        rows = []
        for encoder in ENCODERS:
            for objective in TARGETS:
                result, tuning = results[f"{objective}-{encoder}"], results[f"tune-{objective}-{encoder}"]
                metrics = {
                    "test probe, %": TEST,
                    "random encoder, %": RANDOM,
                    "principal components, %": PCA,
                    "raw pixels, %": RAW,
                }
                row = {"encoder": encoder, "objective": objective.upper(), "lr": f"{result.config['model']['lr'][0]:g}"}
                for name, metric in metrics.items():
                    if metric in result.metrics:
                        row[name] = spread(100 * final(result, metric), 1)
                for name, metric in zip(("share, linear map", "share, Jacobian"), SHARES, strict=True):
                    known = metric in result.metrics
                    row[name] = spread(final(result, metric), 3) if known else "same"
                for by in ("rho", "lam"):
                    row[f"top-{strongest(result)} overlap with {by}"] = spread(final(result, f"linear/overlap/{by}"), 2)
                    row[f"order, {by}"] = spread(final(result, f"linear/order/{by}"), 2)
                rows.append(row | self.tried(tuning))
        return rows

    def comparison(self, results: Results) -> Comparison:
        runs = {"JEPA": "jepa-mlp", "MAE": "mae-mlp"}
        probes = {name: (role, TEST) for name, role in runs.items()}
        probes |= {name: (runs["JEPA"], metric) for name, metric in BASELINES.items()}
        return self.compared(results, "ReLU network", runs, SHARES[0], {ALL: probes})

    def figures(self, results: Results) -> Figures:
        from study import figures

        finals = {(o, e): results[f"{o}-{e}"] for e in ENCODERS for o in TARGETS}
        one = next(iter(finals.values()))
        labelled = VALIDATION in one.metrics
        probe = {k: curves(r, VALIDATION)[::2] for k, r in finals.items() if labelled}
        share = {k: curves(r, SHARES[0])[::2] for k, r in finals.items()}
        overlaps = {by: {k: curves(r, f"linear/overlap/{by}")[::2] for k, r in finals.items()} for by in ("rho", "lam")}
        raw = final(one, "probe/pixels/noisy/validation").mean() if labelled else None
        k, inputs = strongest(one), one.config["model"]["encoder"]["init_args"]["inputs"]
        return {
            f"Noisy {self.images} images, amplitude A = {self.amplitude:g}, gamma = {self.gamma:g}. Left: the distractor's share "
            f"of feature variance{'; right: linear probe on the validation split' if labelled else ''}. Lines: mean of "
            f"{self.seeds} seeds; bands: 95 % Student interval.": figures.share_and_probe(share, probe, raw),
            f"Share of the {k} strongest principal features (row space in the metric Sxx) that lies in the span of the {k} features of "
            "highest rho and of highest lambda; dotted: "
            "chance. Lines and bands as above.": figures.overlaps(overlaps, k / inputs),
        }
