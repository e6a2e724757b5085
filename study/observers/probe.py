"""Linear probe: ridge regression in closed form, so there is no learning rate to argue about."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from datamodules import NoisyPixels, Pairs
from models import Learner
from study.observers.extract import extract, views
from study.observers.observer import Observer

STRENGTHS = tuple(10.0**e for e in range(-5, 3))  # ridge penalty per sample, on standardised features


@dataclass(frozen=True)
class Ridge:
    """A fitted probe per network: (features - mean) @ weights + bias, and take the largest."""

    mean: Float[Tensor, "N 1 k"]
    weights: Float[Tensor, "N k C"]  # for features in their own units
    bias: Float[Tensor, "C"]
    strength: Float[Tensor, "N"]
    validation: Float[Tensor, "N"]

    def accuracy(self, features: Float[Tensor, "N n k"], labels: Int[Tensor, "n"]) -> Float[Tensor, "N"]:
        """Share of samples, in [0, 1], whose label has the largest output."""
        return _accuracy(features - self.mean, self.weights, self.bias, labels)


def _accuracy(centred: Tensor, weights: Tensor, bias: Tensor, labels: Tensor) -> Float[Tensor, "N"]:
    return ((centred @ weights + bias).argmax(-1) == labels).double().mean(-1)


def fit(
    features: Float[Tensor, "N n k"],
    labels: Int[Tensor, "n"],
    validation: Float[Tensor, "N m k"],
    validation_labels: Int[Tensor, "m"],
    classes: int,
) -> Ridge:
    """Regress one-hot labels on standardised features; the strength is the one best on the validation split (the
    strongest of equals). Features without variance get no weight. Sums over samples run in the features' own precision,
    the k x k problem in float64."""
    mean = features.mean(1, keepdim=True)
    centred = features - mean
    std = centred.double().square().mean(1, keepdim=True).sqrt()
    std = torch.where(std > 1e-7 * std.amax(-1, keepdim=True).clamp(min=1e-30), std, torch.inf).to(features)
    standard = centred / std
    targets = torch.nn.functional.one_hot(labels, classes).to(features)
    bias = targets.mean(0)
    eigenvalues, vectors = torch.linalg.eigh((standard.mT @ standard / len(labels)).double())
    cross = vectors.mT @ (standard.mT @ (targets - bias) / len(labels)).double()
    strengths = torch.tensor(sorted(STRENGTHS, reverse=True), dtype=torch.float64, device=features.device)
    spectrum = eigenvalues.clamp(min=0)[..., None] + strengths  # [N, k, strengths]
    candidates = vectors[None] @ (cross / spectrum.permute(2, 0, 1)[..., None])  # [strengths, N, k, C]
    candidates = candidates.to(features) / std.mT
    centred_validation = validation - mean
    scores = torch.stack([_accuracy(centred_validation, weights, bias, validation_labels) for weights in candidates])
    best = scores.argmax(0)
    return Ridge(mean, candidates[best, torch.arange(len(best), device=best.device)], bias, strengths[best], scores.amax(0))


@dataclass(frozen=True)
class Sample:
    """The fixed noisy images a probe is fitted, chosen and tested on: [S, n, d] and labels per split."""

    views: dict[str, Float[Tensor, "S n d"]]
    labels: dict[str, Int[Tensor, "n"]]
    classes: int

    @classmethod
    def check(cls, data: NoisyPixels) -> None:
        """Raises ValueError: the images are all of one class."""
        if data.classes < 2:
            raise ValueError(
                f"a probe needs images of at least 2 classes, found {data.classes}; give them one sub-folder per class, or remove "
                "Probe from the callbacks"
            )

    @classmethod
    def of(cls, data: NoisyPixels, counts: dict[str, int], device: torch.device) -> "Sample":
        cls.check(data)
        return cls(
            {split: views(data, split, n, device) for split, n in counts.items()},
            {split: data.labels(split, n).to(device) for split, n in counts.items()},
            data.classes,
        )

    def fit(self, features: dict[str, Tensor]) -> Ridge:
        return fit(features["train"], self.labels["train"], features["validation"], self.labels["validation"], self.classes)


class Probe(Observer):
    """Probe accuracy of the online features on noisy images, with a random encoder and raw pixels beside it.

    Validation accuracy is recorded over training. The test split is read once per encoder: at update 0 for the random
    (initial) encoder and for raw pixels, after the last update for the trained one.

    Args:
        every: updates between measurements.
        train: images to fit on.
        validation: images to choose the ridge strength on.
        test: images to report.
    """

    def __init__(self, every: int = 1000, train: int = 8000, validation: int = 2000, test: int = 5000) -> None:
        super().__init__(every)
        self.counts = {"train": train, "validation": validation, "test": test}
        for split, count in self.counts.items():
            if count < 1:
                raise ValueError(f"{split} must be at least 1 image, found {count}")

    def check(self, learner: Learner, data: Pairs) -> None:
        if not isinstance(data, NoisyPixels):
            raise ValueError(f"a probe needs labelled images, found {type(data).__name__}; remove Probe from the callbacks")
        Sample.check(data)

    def prepare(self, learner: Learner, data: Pairs) -> dict[str, Tensor]:
        assert isinstance(data, NoisyPixels)
        self.sample = Sample.of(data, self.counts, learner.device)
        pixels = self.sample.fit(self.sample.views)
        N = learner.encoder.networks
        random = {s: extract(learner.encoder, x)["features"] for s, x in self.sample.views.items()}
        return {
            "probe/pixels/noisy/validation": pixels.validation.expand(N),
            "probe/pixels/noisy/test": self.test(pixels, self.sample.views).expand(N),
            "probe/random/features/noisy/test": self.test(self.sample.fit(random), random),
        }

    def test(self, ridge: Ridge, features: dict[str, Tensor]) -> Float[Tensor, "N"]:
        return ridge.accuracy(features["test"], self.sample.labels["test"])

    def measure(self, learner: Learner, data: Pairs, last: bool) -> dict[str, Tensor]:
        splits = {s: extract(learner.encoder, x)["features"] for s, x in self.sample.views.items()}
        ridge = self.sample.fit(splits)
        metrics = {"probe/online/features/noisy/validation": ridge.validation}
        if last:
            metrics["probe/online/features/noisy/test"] = self.test(ridge, splits)
        return metrics
