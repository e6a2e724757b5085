"""Four kinds of networks, five objectives: what a strong distractor does to linear, dense, convolutional and attention encoders.

Claim: With a distractor in patches a convolution trained as VICReg ignores it (share of feature variance at most 0.05) and
trained as MAE holds it (at least 0.5); VICReg's linear probe is at least 10 points better than MAE's and than its own random
encoder's, at least 3 better than raw noisy pixels with all labels, and further ahead with few. A JEPA with the teacher of
I-JEPA's practice keeps what MAE keeps.
Command: study run networks [--images parquet --root FOLDER] [--noises clean,patch,global]
Expected on CIFAR-10: probe about 43 % against MAE 30, random 23, raw 38; shares 0.00 and 0.9.
Time: 27 minutes on 2 CPU cores (51 minutes of processor time); three times as long with all noises.

All objectives see the same pairs (two noisy views, each cropped and flipped by itself), and have the same predictor (of VICReg and
SIGReg it is the projector). Learning rates are tuned for each network, objective and noise on the validation split, over the same
grid, on a seed of their own, with a tenth of the convolution's updates. Nothing is masked: MAE is the reconstruction of the other view.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from study.choices import NUMBERS, Kind
from study.experiments.base import Claim, Figures, Plan, Results, check_count, final, together
from study.experiments.comparison import ALL, Comparison
from study.experiments.images import BASELINES, PCA, RANDOM, RAW, TEST, ImageExperiment
from study.experiments.verdict import Region, above
from study.running.result import Result
from study.running.run import Run
from study.statistics import spread

Network = Literal["linear", "mlp", "convolution", "vit"]
Disturbance = Literal["clean", "patch", "global"]
Method = Literal["vicreg", "sigreg", "ema", "stop-gradient", "mae"]
FEATURES, EMBEDDING, HIDDEN = 512, 128, 512
COST = {"convolution": 3, "vit": 3}  # of an update, in those of a dense network
LABELS = list(NUMBERS)
PATCH = 4  # side of a patch of the convolution and of the transformer
FEW = 300  # labels of the claim on few
SLOW = 20  # turnovers up to which a teacher is expected to keep what a MAE keeps
MEASURED = {"random": RANDOM, "pixels": RAW, "pca": PCA}  # the baselines of a Probe
SHARE, HEALTH = "distractor/share", "health/validation-256"


class Cell(NamedTuple):
    """What is trained together: as many networks as there are seeds."""

    noise: Disturbance
    network: Network
    method: Method
    decay: float = 0.0  # of the teacher

    @property
    def label(self) -> str:
        return f"ema {self.decay:g}" if self.method == "ema" else self.method

    @property
    def role(self) -> str:
        return f"{self.label.replace(' ', '-')}-{self.network}-{self.noise}"


def objective(cell: Cell, normed: bool = True) -> dict[str, Any]:
    """As a configuration; that of a teacher with the distance and the targets of I-JEPA, or with plain ones."""
    joint: dict[str, Any] = {"class_path": "models.Joint"}
    match cell.method:
        case "vicreg":  # with the weights of the paper's equation, whose code halves that of the variance
            term: dict[str, Any] = {"class_path": "models.VarianceCovariance", "init_args": {"variance": 50.0}}
            return joint | {"init_args": {"regularizer": term, "embedding": EMBEDDING}}
        case "sigreg":
            term = {"class_path": "models.SIGReg", "init_args": {"weight": 0.05}}
            return joint | {"init_args": {"regularizer": term, "invariance": 1.0, "embedding": EMBEDDING}}
        case "ema":
            practice = {"distance": "smooth_l1", "normalized": True} if normed else {}
            return {"class_path": "models.EMA", "init_args": {"decay": cell.decay, **practice}}
        case "stop-gradient":
            return {"class_path": "models.StopGradient"}
        case "mae":
            return {"class_path": "models.Pixels"}


def encoder(network: Network, shape: list[int], seeds: list[int]) -> dict[str, Any]:
    """An encoder of FEATURES features, or of as many as there are inputs, as a configuration."""
    inputs = math.prod(shape)
    features = min(FEATURES, inputs)
    dense = {"inputs": inputs, "features": features, "seeds": seeds}
    if network == "linear":
        return {"class_path": "models.MLP", "init_args": {"hidden": [features, features], "eps": 0.6**3, **dense}}
    if network == "mlp":
        return {"class_path": "models.MLP", "init_args": {"hidden": [512], "activation": "relu", "eps": 0.6**2, **dense}}
    kind, sizes = (
        ("Convolution", {"widths": [64, 64]}) if network == "convolution" else ("ViT", {"width": 48, "depth": 2, "heads": 4})
    )
    image = {"size": shape[-1], "channels": shape[0], "patch": PATCH, "features": features}
    stacked = {"class_path": f"models.networks.{kind}", "init_args": {**image, **sizes}}
    return {"class_path": "models.Stack", "init_args": {"network": stacked, "shape": shape, "seeds": seeds}}


def observer(name: str, every: int, **options: Any) -> dict[str, Any]:
    """As a configuration."""
    return {"class_path": f"study.observers.{name}", "init_args": {"every": max(1, every), **options}}


def over_labels(result: Result, metric: str) -> dict[str, str]:
    """The metrics of a probe by its number of labels, as text; few where there are so many images, then all."""
    found = {f"{n:,}": f"{metric}-{n}" for n in LABELS}
    return {n: name for n, name in found.items() if name in result.metrics} | {ALL: metric}


@dataclass
class Networks(ImageExperiment):
    """JEPA and MAE with linear, dense, convolutional and attention encoders.

    Args:
        updates: training length of the convolution.
        short: training length of the other networks.
        trial: training length while a rate is chosen.
        crop: smallest share of an image; 1: no crops.
        noises: of clean (no distractor), patch and global.
        networks: of linear, mlp, convolution and vit.
        methods: of vicreg, sigreg, ema, stop-gradient and mae.
        decays: of the teachers of ema, in [0, 1).
        normed: ema has I-JEPA's targets (layer norm, smooth L1).
    """

    free = (*ImageExperiment.free, "noises", "networks", "methods", "decays", "short")
    name = "networks"
    expected = "40 runs of 3 networks, 27 min on 2 cores"
    minutes = 27
    example = "--noises clean,patch --seeds 2"
    count: int = 50_000
    updates: int = 512
    batch: int = 256
    rates: tuple[float, ...] = (5e-4, 1e-3, 2e-3)
    seeds: int = 3
    short: int = 70
    trial: int = 45
    crop: float = 0.7
    noises: tuple[Disturbance, ...] = ("patch",)
    networks: tuple[Network, ...] = ("linear", "mlp", "convolution", "vit")
    methods: tuple[Method, ...] = ("vicreg", "sigreg", "ema", "stop-gradient", "mae")
    decays: tuple[float, ...] = (0.99,)
    normed: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("short", "trial"):
            check_count(name, getattr(self, name))
        if not 0 < self.crop <= 1:
            raise ValueError(f"crop must lie in (0, 1], found {self.crop}")
        for name in ("noises", "networks", "methods", "decays"):
            found = getattr(self, name)
            if not found or len(set(found)) < len(found):
                raise ValueError(f"{name} must hold at least one, each once, found {list(found)}")
        if not all(0 <= decay < 1 for decay in self.decays):
            raise ValueError(f"decays must lie in [0, 1), found {list(self.decays)}")

    def cells(self) -> Iterator[Cell]:
        for noise in self.noises:
            for network in self.networks:
                for method in self.methods:
                    for decay in self.decays if method == "ema" else (0.0,):
                        yield Cell(noise, network, method, decay)

    def knowing(self, cell: Cell, metric: str) -> Cell:
        """The cell whose run has a metric of this one: what raw pixels and their principal components are worth does not depend on the
        network, and is measured in the first cell of the noise alone, and a random encoder in the first of the network."""
        same = {RAW: 1, PCA: 1, RANDOM: 2}  # how much of a cell it depends on
        shared = next((n for baseline, n in same.items() if metric.startswith(baseline)), len(cell))
        return next(first for first in self.cells() if first[:shared] == cell[:shared])

    def run_count(self) -> int:
        return 2 * len(list(self.cells()))

    def expected_work(self) -> float:
        updates = sum(
            COST.get(cell.network, 1) * (len(self.rates) * self.trial + self.seeds * self.length(cell)) for cell in self.cells()
        )
        return math.prod(self.made.shape) * self.batch * updates

    def length(self, cell: Cell) -> int:
        return self.updates if cell.network == "convolution" else self.short

    def run(
        self, cell: Cell, observers: list[dict], updates: int, name: str, rates: list[float], inits: list[int], data: list[int]
    ) -> Run:
        kind: Kind = "global" if cell.noise == "clean" else cell.noise
        amplitude = 0.0 if cell.noise == "clean" else self.amplitude
        pairing: dict[str, Any] = {"class_path": "datamodules.pairings.Same"}
        if self.crop < 1:
            pairing = {"class_path": "datamodules.pairings.Crops", "init_args": {"smallest": self.crop}}
        config = {
            "trainer": {"accelerator": self.device, "callbacks": observers},
            "model": {
                "encoder": encoder(cell.network, self.made.shape, inits),
                "predictor": {"class_path": "models.Perceptron", "init_args": {"hidden": [HIDDEN]}},
                "objective": objective(cell, self.normed),
                "optimizer": "adamw",
                "lr": rates,
                "schedule": "cosine",
                "warmup": updates // 20,
            },
            "data": self.data(kind, amplitude, pairing, data, updates),
        }
        from study.running.training import Training

        return Training(self.name, name, config)

    def check_samples(self) -> None:
        from datamodules.noise import check

        shape = self.made.shape
        for noise in self.noises:
            check("global" if noise == "clean" else noise, shape, self.directions)
        square = len(shape) == 3 and shape[1] == shape[2] and shape[1] % PATCH == 0
        if not square and {"convolution", "vit"} & set(self.networks):
            raise ValueError(
                f"convolution and vit need square images whose side is a multiple of {PATCH}, found samples of shape {shape}; give "
                "--networks [linear,mlp]"
            )
        if not self.made.labelled:
            raise ValueError(
                f"{self.made}: no labels of two classes or more, which the rates of networks are chosen by; study run pixels does without"
            )

    def plan(self) -> Plan:
        self.check_samples()
        yield from together(map(self.trained, self.cells()))

    def trained(self, cell: Cell) -> Plan:
        """The plan of one cell."""
        length = self.length(cell)
        probe = {"train": 16_000, "validation": 4000}
        choosing = observer("Probe", self.trial, **probe, test=None)
        baselines = [name for name, metric in MEASURED.items() if cell == self.knowing(cell, metric)]
        observers = [
            observer("Probe", length, **probe, test=10_000, labels=LABELS, baselines=baselines),
            observer("Health", length // 2),
        ]
        if cell.noise != "clean":
            observers.append(observer("Distractor", length // 2))
        observers += self.further(max(1, length // 2))
        return self.tuned(
            cell.role, partial(self.run, cell, [choosing], self.trial), partial(self.run, cell, observers, length)
        )

    def claims(self, results: Results) -> list[Claim]:
        here = [cell for cell in self.cells() if (cell.noise, cell.network) == ("patch", "convolution")]
        roles = {cell.method: cell.role for cell in here}
        out = []
        on = (
            f"{self.images} images, K = {self.directions}, A = {self.amplitude:g}, gamma = {self.gamma:g}, patches, convolution"
        )
        mean = "(mean over seeds; 95 % Student interval)"

        def add(name: str, statement: str, predicted: str, region: Region, values: NDArray) -> None:
            out.append(self.claim_on_mean(name, f"{on}: {statement} {mean}", predicted, region, values))

        def probe(role: str, metric: str = TEST) -> NDArray:
            return 100 * final(results[role], metric)

        if "vicreg" in roles:
            jepa = roles["vicreg"]
            raw, random = (self.knowing(here[0], metric).role for metric in (RAW, RANDOM))
            ahead = probe(jepa) - probe(raw, RAW)
            add("share-vicreg", "trained as VICReg, the distractor explains at most 0.05 of the features' variance", "<= 0.05",
                Region(at_most=0.05), final(results[jepa], SHARE))  # fmt: skip
            add("vicreg-over-random", "VICReg's linear probe beats its random encoder's by at least 10 points", ">= 10 points",
                Region(at_least=10), probe(jepa) - probe(random, RANDOM))  # fmt: skip
            add("vicreg-over-raw", "VICReg's linear probe beats that of the raw noisy pixels by at least 3 points with all labels",
                ">= 3 points", Region(at_least=3), ahead)  # fmt: skip
            if f"{TEST}-{FEW}" in results[jepa].metrics:  # of fewer images there is no probe on so many
                few = probe(jepa, f"{TEST}-{FEW}") - probe(raw, f"{RAW}-{FEW}")
                add("vicreg-over-raw-few", f"it is further ahead of the raw pixels with {FEW} labels than with all", "> 0 points",
                    above(0), few - ahead)  # fmt: skip
        if "mae" in roles:
            add("share-mae", "trained as MAE, the distractor explains at least 0.5 of the features' variance", ">= 0.5",
                Region(at_least=0.5), final(results[roles["mae"]], SHARE))  # fmt: skip
        if {"vicreg", "mae"} <= set(roles):
            add("vicreg-over-mae", "VICReg's linear probe beats MAE's by at least 10 points", ">= 10 points", Region(at_least=10),
                probe(roles["vicreg"]) - probe(roles["mae"]))  # fmt: skip
        for cell in here:
            if cell.method == "ema" and self.turnovers(cell) <= SLOW:
                add(f"share-teacher-{cell.decay:g}", f"with a teacher of decay {cell.decay:g}, which turns over {self.turnovers(cell):.3g} "
                    "times, the distractor explains at least 0.5 of the features' variance, as of a MAE", ">= 0.5",
                    Region(at_least=0.5), final(results[cell.role], SHARE))  # fmt: skip
        return out

    def turnovers(self, cell: Cell) -> float:
        """How often the target's weights are replaced: the sum of 1 - decay over the updates."""
        return self.length(cell) * (1 - cell.decay)

    def reported(self, results: Results) -> list[dict[str, Any]]:
        rows = []
        for cell in self.cells():
            result, tuning = results[cell.role], results[f"tune-{cell.role}"]
            latent = cell.method in ("ema", "stop-gradient")
            row = {
                "noise": cell.noise, "network": cell.network, "objective": cell.label,
                "teacher's turnovers": f"{self.turnovers(cell):.3g}" if latent else "",
                "updates": f"{self.length(cell):,}", "lr": f"{result.config['model']['lr'][0]:g}",
                "distractor's share": "" if cell.noise == "clean" else spread(final(result, SHARE), 3),
            }  # fmt: skip
            for name, metric in {"probe": TEST, **BASELINES}.items():
                of = results[self.knowing(cell, metric).role]
                row[f"{name}, all labels, %"] = spread(100 * final(of, metric), 1)
                few = {n: 100 * final(of, m).mean() for n, m in over_labels(of, metric).items() if n != ALL}
                row[f"{name}, {' / '.join(few)} labels, %"] = " / ".join(f"{value:.1f}" for value in few.values())
            row["effective rank"] = spread(final(result, f"{HEALTH}/rank"), 1)
            row["feature std"] = spread(final(result, f"{HEALTH}/std"), 3)
            row["gap"] = spread(final(result, f"{HEALTH}/gap"), 2)
            rows.append(row | self.tried(tuning))
        return rows

    def comparison(self, results: Results) -> Comparison | None:
        """Of the convolution, or of the first network there is, and of the first JEPA there is."""
        cells = [cell for cell in self.cells() if cell.noise != "clean"]
        cells.sort(key=lambda cell: cell.network != "convolution")
        here = [cell for cell in cells if cell[:2] == cells[0][:2]]
        jepa = next((cell for cell in here if cell.method != "mae"), None)
        mae = next((cell for cell in here if cell.method == "mae"), None)
        if not jepa or not mae:
            return None
        probes: dict[str, dict[str, tuple[str, str]]] = {}
        for name, cell, metric in [("JEPA", jepa, TEST), ("MAE", mae, TEST), *((n, jepa, m) for n, m in BASELINES.items())]:
            role = self.knowing(cell, metric).role
            for labels, of in over_labels(results[role], metric).items():
                probes.setdefault(labels, {})[name] = role, of
        network = f"{jepa.network} (JEPA as {jepa.label})"
        return self.compared(results, network, {"JEPA": jepa.role, "MAE": mae.role}, SHARE, probes)

    def figures(self, results: Results) -> Figures:
        from study import figures

        out: Figures = {}
        for noise in self.noises:
            probes: dict[str, dict[str, NDArray]] = {network: {} for network in self.networks}
            shares: dict[str, dict[str, NDArray]] = {network: {} for network in self.networks}
            for cell in (cell for cell in self.cells() if cell.noise == noise):
                for name, metric in {cell.label: TEST, **BASELINES}.items():
                    of = results[self.knowing(cell, metric).role]
                    over = over_labels(of, metric)
                    probes[cell.network][name] = 100 * np.stack([final(of, m) for m in over.values()])
                if noise != "clean":
                    shares[cell.network][cell.label] = final(results[cell.role], SHARE)
            out[
                f"Noise: {noise}. Test accuracy of a linear probe over the number of labels. Mean of {self.seeds} seeds; bands: 95 % "
                "Student interval."
            ] = figures.probe_over_labels(probes, list(over))
            if noise != "clean":
                out[f"Noise: {noise}. The distractor's share of feature variance. Dots: seeds; bars: mean."] = (
                    figures.shares_by_objective(shares)
                )
        return out
