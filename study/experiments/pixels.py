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

import math
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from study.experiments.base import Claim, Experiment, Figures, Plan, Results, check_count, curves, final
from study.experiments.linear import TARGETS
from study.experiments.sources import check_images, made, source
from study.experiments.verdict import Region, above
from study.running.result import Result
from study.running.run import Run
from study.statistics import interval, spread
from study.terminal import say
from study.theory.flow import Objective

if TYPE_CHECKING:
    from datamodules.noise import Kind
    from datamodules.sources import Source

ENCODERS: dict[str, dict[str, Any]] = {
    "mlp": {"hidden": [256], "features": 64, "activation": "relu", "eps": 0.6**2},
    "linear": {"hidden": [64, 64], "features": 64, "activation": "linear", "eps": 0.6**3},
}
TUNING_SEED = 1000
VALIDATION, TEST = "probe/online/features/noisy/validation", "probe/online/features/noisy/test"
RANDOM, RAW = "probe/random/features/noisy/test", "probe/pixels/noisy/test"
SHARES = ("linear/distractor", "jacobian/distractor")
STRONGEST = 16  # principal features that are compared, or all, where there are fewer


def strongest(result: Result) -> int:
    """How many principal features of this run are compared."""
    return min(STRONGEST, result.config["model"]["encoder"]["init_args"]["features"])


@dataclass
class Pixels(Experiment):
    """JEPA and MAE on noisy images.

    Args:
        images: source of the samples: builtin, cifar10, cifar100, stl10, folder, parquet, arrays, or a class of your own by its import
            path, package.module.Class, which is a datamodules.sources.Source and gets those of the next seven options that are given.
        root: folder of the source, or file of arrays.
        download: let torchvision download.
        bad_files: share of the pictures of a folder or of tables that may be left out, as they cannot be decoded, in [0, 1).
        most_pixels: a picture of those with more pixels is not decoded.
        size: side of the reduced images in pixels.
        window: of arrays that are recordings the length of a window in time steps.
        step: time steps from the start of one window to that of the next, by default window.
        count: training images at most.
        directions: number K of distractor directions.
        distractor: what they are: random in all pixels (global), patterns of single patches (patch), or low frequencies (smooth).
        amplitude: standard deviation A of the distractor, in pixel standard deviations.
        gamma: correlation of the distractor between the views, in [0, 1]; its rho.
        sigma: standard deviation of the independent pixel noise.
        updates: training length.
        batch: pairs per update.
        rates: learning rates tried for each objective and encoder.
        seeds: networks per objective and encoder; each has its own weights, distractor directions, batches and noise.
    """

    free = ("images", "root", "download", "bad_files", "most_pixels", "window", "step", "rates", "seeds")
    name = "pixels"
    expected = "8 runs of 4 to 5 networks, about 4 min on 2 cores"
    images: str = "builtin"
    root: Path | None = None
    download: bool = False
    bad_files: float = 0.0
    most_pixels: int = 89_478_485  # Pillow's own limit
    size: int = 16
    window: int | None = None
    step: int | None = None
    count: int = 20_000
    directions: int = 128
    distractor: "Kind" = "global"
    amplitude: float = 14.0
    gamma: float = 0.4
    sigma: float = 0.05
    updates: int = 1200
    batch: int = 128
    rates: tuple[float, ...] = (3e-5, 1e-4, 3e-4, 6e-4)
    seeds: int = 5

    def __post_init__(self) -> None:
        check_images(self.images)
        check_count("size", self.size, most=1024)
        check_count("count", self.count, least=10, most=10**9)
        for name in ("updates", "batch", "seeds"):
            check_count(name, getattr(self, name))
        if not 0 <= self.bad_files < 1:
            raise ValueError(f"bad_files must lie in [0, 1), found {self.bad_files}")
        if self.most_pixels < 1:
            raise ValueError(f"most_pixels must be at least 1, found {self.most_pixels}")
        if not 0 <= self.amplitude < math.inf:
            raise ValueError(f"amplitude must be finite and not negative, found {self.amplitude}")
        if not 0 <= self.gamma <= 1:
            raise ValueError(f"gamma must lie in [0, 1], found {self.gamma}")
        if not 0 < self.sigma < math.inf:
            raise ValueError(f"sigma must be finite and positive, found {self.sigma}")
        self.rates = tuple(sorted(self.rates))
        if not (self.rates and all(0 < rate < math.inf for rate in self.rates) and len(set(self.rates)) == len(self.rates)):
            raise ValueError(f"rates must be positive learning rates, each once, found {list(self.rates)}")
        self.root = None if self.root is None else Path(self.root).resolve()

    @cached_property
    def source(self) -> dict[str, Any]:
        """The configuration of the samples' source."""
        names = ("root", "download", "bad_files", "most_pixels", "size", "window", "step")
        given = {name: getattr(self, name) for name in names if getattr(self, name) != getattr(type(self), name)}
        return source(self.images, given | ({"root": str(self.root)} if self.root else {}))

    @cached_property
    def made(self) -> "Source":
        """The source itself."""
        return made(self.source)

    def run(
        self, name: str, objective: Objective, encoder: str, rates: list[float], inits: list[int], data: list[int], every: int
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
            "data": {
                "class_path": "datamodules.SourcePairs",
                "init_args": {
                    "source": self.source,
                    "noise": {
                        "class_path": "datamodules.noise.Distractor",
                        "init_args": {
                            "kind": self.distractor, "directions": self.directions, "amplitude": self.amplitude,
                            "gamma": self.gamma, "sigma": self.sigma,
                        },
                    },
                    "pairing": {"class_path": "datamodules.pairings.Same"},
                    "count": self.count, "batch": self.batch, "updates": self.updates, "seeds": data, "chunk": 25,
                },
            },
        }  # fmt: skip
        from study.running.training import Training

        return Training(self.name, name, config)

    def tune(self, objective: Objective, encoder: str) -> Generator[Mapping[str, Run], Results, list[float]]:
        """Rates that do not diverge over a whole training, best validation probe first; without labels the largest first."""
        from study.observers.loss import Diverged

        role, rates, seed = f"tune-{objective}-{encoder}", list(self.rates), [TUNING_SEED]
        while rates:
            try:
                results = yield {role: self.run(role, objective, encoder, rates, seed * len(rates), seed, self.updates)}
            except Diverged as stop:
                rates = [rate for rate in rates if rate < stop.lr]
                continue
            if VALIDATION not in results[role].metrics:
                return rates[::-1]
            return [rates[i] for i in np.argsort(-final(results[role], VALIDATION))]
        raise ValueError(f"{objective} with the {encoder} encoder diverges at every rate of {self.rates}; give lower --rates")

    def plan(self) -> Plan:
        from datamodules.noise import check
        from study.observers.loss import Diverged

        check(self.distractor, self.made.shape, self.directions)
        if not self.made.labelled:
            say(
                f"{self.made}: no labels of two classes or more: no probe is made, and of the rates the largest that does not diverge is taken"
            )
        seeds, every = list(range(self.seeds)), max(1, self.updates // 5)
        for encoder in ENCODERS:
            for objective in TARGETS:
                ranked = yield from self.tune(objective, encoder)
                role = f"{objective}-{encoder}"
                while ranked:
                    try:
                        yield {role: self.run(role, objective, encoder, ranked[:1] * self.seeds, seeds, seeds, every)}
                    except Diverged as stop:  # the tuning seed was luckier: take the next best below
                        ranked = [rate for rate in ranked if rate < stop.lr]
                        continue
                    break
                else:
                    raise ValueError(f"{role} diverges at every rate that its tuning survived; give lower --rates")

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
        out = []
        for name, statement, predicted, region, values in wanted:
            mean, low, high = interval(values)
            out.append(
                self.claim(
                    f"{self.images}/{name}", f"{on}: {statement}", "theory section 5", predicted, region, [low, high],
                    measured=mean, n=self.seeds,
                )
            )  # fmt: skip
        return out

    def reported(self, results: Results) -> list[dict[str, Any]]:
        rows = []
        for encoder in ENCODERS:
            for objective in TARGETS:
                result, tuning = results[f"{objective}-{encoder}"], results[f"tune-{objective}-{encoder}"]
                metrics = {"test probe, %": TEST, "random encoder, %": RANDOM, "raw pixels, %": RAW}
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
                if VALIDATION in tuning.metrics:
                    tried = zip(tuning.config["model"]["lr"], 100 * final(tuning, VALIDATION), strict=True)
                    row["tuning: lr (validation probe, %)"] = ", ".join(f"{lr:g} ({score:.1f})" for lr, score in tried)
                rows.append(row)
        return rows

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
