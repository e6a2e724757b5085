"""What the experiments on noisy images share: which samples, which noise, and rates tuned with the same effort."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from study import outside
from study.choices import Kind
from study.experiments.base import Claim, Plan, Results, TrainingExperiment, check_count, final
from study.experiments.comparison import Comparison
from study.experiments.verdict import Region
from study.running.places import TUNING
from study.running.result import Result
from study.running.run import Run
from study.sources import check_images, made, source
from study.statistics import interval

if TYPE_CHECKING:
    from datamodules.sources import Source

TUNING_SEED = 1000
VALIDATION, TEST = "probe/online/features/noisy/validation", "probe/online/features/noisy/test"
RANDOM, RAW, PCA = "probe/random/features/noisy/test", "probe/pixels/noisy/test", "probe/pca/noisy/test"
BASELINES = {"random encoder": RANDOM, "principal components": PCA, "raw pixels": RAW}
SAMPLES = {"builtin": "the built-in images", "cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "stl10": "STL-10"}
Make = Callable[[str, list[float], list[int], list[int]], Run]  # of a name, rates, seeds of networks and seeds of data


@dataclass
class ImageExperiment(TrainingExperiment):
    """Base of experiments on noisy images.

    Args:
        images: builtin, cifar10, folder, parquet, arrays, ...
        root: folder of the source, or file of arrays.
        download: let torchvision download.
        bad_files: share of pictures that may be bad, in [0, 1).
        most_pixels: a picture with more is not decoded.
        groups: folder: sub-folders of a class are not split.
        size: side of the reduced images in pixels.
        window: length of a window of recordings, in time steps.
        step: time steps from window to window; default: window.
        count: training images at most.
        directions: number K of the distractor's directions.
        amplitude: its standard deviation A, in those of pixels.
        gamma: its correlation between views, in [0, 1]; its rho.
        sigma: standard deviation of independent pixel noise.
        updates: training length.
        batch: pairs per update.
        rates: rates tried for each objective and encoder.
        seeds: networks per objective and encoder.
    """

    free: ClassVar[tuple[str, ...]] = (
        "images",
        "root",
        "download",
        "bad_files",
        "most_pixels",
        "window",
        "step",
        "rates",
        "seeds",
    )
    images: str = "builtin"
    root: Path | None = None
    download: bool = False
    bad_files: float = 0.0
    most_pixels: int = 89_478_485  # Pillow's own limit
    groups: Literal["none", "folder"] = "none"
    size: int = 16
    window: int | None = None
    step: int | None = None
    count: int = 20_000
    directions: int = 128
    amplitude: float = 14.0
    gamma: float = 0.4
    sigma: float = 0.05
    updates: int = 1200
    batch: int = 128
    rates: tuple[float, ...] = (3e-5, 1e-4, 3e-4, 6e-4)
    seeds: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_images(self.images)
        self.images = outside.whole(self.images)
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
        names = ("root", "download", "bad_files", "most_pixels", "size", "groups", "window", "step")
        given = {name: getattr(self, name) for name in names if getattr(self, name) != getattr(type(self), name)}
        own = {"size": self.size} if self.size != ImageExperiment.size else {}  # of sources, which take 16 by themselves
        return source(self.images, given | ({"root": str(self.root)} if self.root else {}), own)

    @cached_property
    def made(self) -> "Source":
        """The source itself."""
        return made(self.source)

    def data(self, kind: Kind, amplitude: float, pairing: dict[str, Any], seeds: list[int], updates: int) -> dict[str, Any]:
        """Noisy images, as a configuration."""
        return self.pairs(kind, self.directions, amplitude, self.gamma, pairing, seeds, updates)

    def pairs(
        self,
        kind: Kind,
        directions: int,
        amplitude: float,
        gamma: float,
        pairing: dict[str, Any],
        seeds: list[int],
        updates: int,
    ) -> dict[str, Any]:
        """The same with any distractor."""
        noise = {"kind": kind, "directions": directions, "amplitude": amplitude, "gamma": gamma, "sigma": self.sigma}
        return {
            "class_path": "datamodules.SourcePairs",
            "init_args": {
                "source": self.source,
                "noise": {"class_path": "datamodules.noise.Distractor", "init_args": noise},
                "pairing": pairing,
                "count": self.count,
                "batch": self.batch,
                "updates": updates,
                "seeds": seeds,
                "chunk": 25,
            },
        }

    def tuned(self, role: str, tuning: Make, training: Make) -> Plan:
        """Tries all rates on a seed of their own, then trains every seed at the rate of the best validation probe; without labels at
        the largest. A rate that diverges gives way to lower ones: those that are left while tuning, and in training the next
        best below it."""
        from study.observers.loss import Diverged

        rates, ranked = list(self.rates), list[float]()
        while rates and not ranked:
            try:
                results = yield {f"tune-{role}": tuning(f"{TUNING}/{role}", rates, [TUNING_SEED] * len(rates), [TUNING_SEED])}
            except Diverged as stop:
                rates = [rate for rate in rates if rate < stop.lr]
                continue
            tried = results[f"tune-{role}"]
            ranked = [rates[i] for i in np.argsort(-final(tried, VALIDATION))] if VALIDATION in tried.metrics else rates[::-1]
        seeds = list(range(self.seeds))
        while ranked:
            try:
                yield {role: training(role, ranked[:1] * self.seeds, seeds, seeds)}
            except Diverged as stop:  # the tuning seed was luckier
                ranked = [rate for rate in ranked if rate < stop.lr]
                continue
            return
        raise ValueError(
            f"{role} diverges at every rate of {', '.join(f'{rate:g}' for rate in self.rates)}; give lower --rates"
        )

    def claim_on_mean(self, name: str, statement: str, predicted: str, region: Region, values: NDArray) -> Claim:
        """A claim on the mean of values [seeds], with its 95 % Student interval."""
        mean, low, high = interval(values)
        return self.claim(
            f"{self.images}/{name}", statement, "theory section 5", predicted, region, [low, high], measured=mean, n=self.seeds
        )

    def tried(self, tuning: Result) -> dict[str, str]:
        """The rates of a tuning and their validation probes in %, as a cell of a table; none without labels."""
        if VALIDATION not in tuning.metrics:
            return {}
        scores = zip(tuning.config["model"]["lr"], 100 * final(tuning, VALIDATION), strict=True)
        return {"tuning: lr (validation probe, %)": ", ".join(f"{lr:g} ({score:.1f})" for lr, score in scores)}

    def compared(
        self, results: Results, network: str, runs: dict[str, str], share: str, probes: dict[str, dict[str, tuple[str, str]]]
    ) -> Comparison:
        """The comparison of two runs.

        Args:
            network: of which kind they are.
            runs: roles of the runs, by "JEPA" and "MAE".
            share: metric of the distractor's share.
            probes: by number of labels and by method or baseline the role and metric of a probe; what was not measured is left out.
        """
        measured = {
            labels: {
                name: 100 * final(results[role], metric)
                for name, (role, metric) in by.items()
                if metric in results[role].metrics
            }
            for labels, by in probes.items()
        }
        return Comparison(
            samples=SAMPLES.get(self.images, f"samples of {self.images}"),
            network=network,
            distractor=f"K = {self.directions}, A = {self.amplitude:g}, gamma = {self.gamma:g}",
            data=results[runs["JEPA"]].config["data"],
            shares={name: final(results[role], share) for name, role in runs.items()},
            probes={labels: by for labels, by in measured.items() if {"JEPA", "MAE"} <= set(by)},
        )
