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
    """A fitted probe per network: standardise by (mean, std), multiply by weights, add bias, take the largest."""

    mean: Float[Tensor, "N 1 k"]
    std: Float[Tensor, "N 1 k"]
    weights: Float[Tensor, "N k C"]
    bias: Float[Tensor, "C"]
    strength: Float[Tensor, "N"]
    validation: Float[Tensor, "N"]

    def accuracy(self, features: Float[Tensor, "N n k"], labels: Int[Tensor, "n"]) -> Float[Tensor, "N"]:
        """Share of samples, in [0, 1], whose label has the largest output."""
        output = ((features.double() - self.mean) / self.std) @ self.weights + self.bias
        return (output.argmax(-1) == labels).double().mean(-1)


def fit(
    features: Float[Tensor, "N n k"],
    labels: Int[Tensor, "n"],
    validation: Float[Tensor, "N m k"],
    validation_labels: Int[Tensor, "m"],
    classes: int,
) -> Ridge:
    """Regress one-hot labels on standardised features; the strength is the one best on the validation split (the
    strongest of equals). Features without variance are left at zero."""
    features = features.double()
    mean, std = features.mean(1, keepdim=True), features.std(1, keepdim=True)
    std = torch.where(std > 1e-12 * std.amax(-1, keepdim=True).clamp(min=1e-150), std, torch.inf)
    standard = (features - mean) / std
    targets = torch.nn.functional.one_hot(labels, classes).double()
    bias = targets.mean(0)
    n = len(labels)
    eigenvalues, vectors = torch.linalg.eigh(standard.mT @ standard / n)
    cross = vectors.mT @ (standard.mT @ (targets - bias) / n)
    candidates = [
        Ridge(mean, std, vectors @ (cross / (eigenvalues.clamp(min=0) + s)[..., None]), bias, mean.new_tensor(s), mean)
        for s in reversed(STRENGTHS)
    ]
    scores = torch.stack([c.accuracy(validation, validation_labels) for c in candidates])
    best = scores.argmax(0)
    chosen = torch.stack([c.weights for c in candidates])[best, torch.arange(len(features), device=best.device)]
    strengths = torch.stack([c.strength for c in candidates])[best]
    return Ridge(mean, std, chosen, bias, strengths, scores.amax(0))


@dataclass(frozen=True)
class Sample:
    """The fixed noisy images a probe is fitted, chosen and tested on: [S, n, d] and labels per split."""

    views: dict[str, Float[Tensor, "S n d"]]
    labels: dict[str, Int[Tensor, "n"]]
    classes: int

    @classmethod
    def of(cls, data: NoisyPixels, counts: dict[str, int], device: torch.device) -> "Sample":
        return cls(
            {split: views(data, split, n, device) for split, n in counts.items()},
            {split: data.labels(split, n).to(device) for split, n in counts.items()},
            data.classes,
        )

    def fit(self, features: dict[str, Tensor]) -> Ridge:
        return fit(
            features["train"], self.labels["train"], features["validation"], self.labels["validation"], self.classes
        )


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

    def __init__(self, every: int = 500, train: int = 8000, validation: int = 4000, test: int = 5000) -> None:
        super().__init__(every)
        self.counts = {"train": train, "validation": validation, "test": test}
        for split, count in self.counts.items():
            if count < 1:
                raise ValueError(f"{split} must be at least 1 image, found {count}")

    def prepare(self, learner: Learner, data: Pairs) -> dict[str, Tensor]:
        if not isinstance(data, NoisyPixels):
            raise ValueError(f"a probe needs labelled images, found {type(data).__name__}; remove Probe from the callbacks")
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
