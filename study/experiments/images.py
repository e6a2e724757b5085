"""What the experiments on noisy images share: which images, which noise, and rates tuned with the same effort."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from study.experiments.base import Experiment, Plan, check_count, final
from study.running.result import Result
from study.running.run import Run

if TYPE_CHECKING:
    from datamodules.images import Source
    from datamodules.noise import Kind

TUNING_SEED = 1000
VALIDATION, TEST = "probe/online/features/noisy/validation", "probe/online/features/noisy/test"
RANDOM, RAW = "probe/random/features/noisy/test", "probe/pixels/noisy/test"
Make = Callable[[str, list[float], list[int], list[int]], Run]  # of a name, rates, seeds of networks and seeds of data


@dataclass
class ImageExperiment(Experiment):
    """Base of experiments on noisy images.

    Args:
        images: image source: builtin, cifar10, cifar100, stl10, folder or parquet.
        root: folder of the source.
        download: let torchvision download.
        bad_files: share of the pictures of a folder or of tables that may be left out, as they cannot be decoded, in [0, 1).
        most_pixels: a picture of those with more pixels is not decoded.
        size: side of the reduced images in pixels.
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

    free = ("images", "root", "download", "bad_files", "most_pixels", "rates", "seeds")
    images: "Source" = "builtin"
    root: Path | None = None
    download: bool = False
    bad_files: float = 0.0
    most_pixels: int = 89_478_485  # Pillow's own limit
    size: int = 16
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
        check_count("size", self.size, most=1024)
        check_count("count", self.count, least=10, most=10**9)
        check_count("directions", self.directions, most=3 * self.size**2)  # the pixels
        if self.distractor != "global":
            from datamodules.noise import check  # and torch, which a list of experiments does without

            check(self.distractor, self.size, self.directions)
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


    def data(self, seeds: list[int], **options: Any) -> dict[str, Any]:
        """Noisy images, as a configuration."""
        return {
            "class_path": "datamodules.NoisyPixels",
            "init_args": {
                "images": self.images, "root": None if self.root is None else str(self.root), "download": self.download,
                "bad_files": self.bad_files, "most_pixels": self.most_pixels, "size": self.size, "count": self.count,
                "directions": self.directions, "distractor": self.distractor, "amplitude": self.amplitude, "gamma": self.gamma,
                "sigma": self.sigma, "batch": self.batch, "updates": self.updates, "seeds": seeds, "chunk": 25, **options,
            },
        }  # fmt: skip

    def tuned(self, role: str, tuning: Make, training: Make) -> Plan:
        """Tries all rates on a seed of their own, then trains every seed at the rate of the best validation probe. A rate that
        diverges gives way to lower ones: those that are left while tuning, and the next best below it in training."""
        from study.observers.loss import Diverged

        rates, ranked = list(self.rates), list[float]()
        while rates and not ranked:
            try:
                results = yield {f"tune-{role}": tuning(f"tune-{role}", rates, [TUNING_SEED] * len(rates), [TUNING_SEED])}
            except Diverged as stop:
                rates = [rate for rate in rates if rate < stop.lr]
            else:
                ranked = [rates[i] for i in np.argsort(-final(results[f"tune-{role}"], VALIDATION))]
        seeds = list(range(self.seeds))
        while ranked:
            try:
                yield {role: training(role, ranked[:1] * self.seeds, seeds, seeds)}
            except Diverged as stop:  # the tuning seed was luckier
                ranked = [rate for rate in ranked if rate < stop.lr]
            else:
                return
        raise ValueError(f"{role} diverges at every rate of {', '.join(f'{rate:g}' for rate in self.rates)}; give lower --rates")

    def tried(self, tuning: Result) -> str:
        """The rates of a tuning and their validation probes in %, as text."""
        scores = zip(tuning.config["model"]["lr"], 100 * final(tuning, VALIDATION), strict=True)
        return ", ".join(f"{lr:g} ({score:.1f})" for lr, score in scores)
