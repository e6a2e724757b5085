"""What a linear probe will read out of features that are projections, on few labels and on all, with nothing trained.

Shapes: E encoders, d inputs, k features, n samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from datamodules import Pairs, random
from models import Encoder
from study.choices import NUMBERS
from study.observers.few import fitted
from study.observers.probe import Sample

COUNTS = {"train": 8000, "validation": 2000, "test": 5000}  # those of study.observers.Probe
RESAMPLES = 1000
RESAMPLING = -7  # stands where the data's streams of random numbers have their seed


@dataclass(frozen=True)
class Probed:
    """Probe of some features at one number of labels."""

    name: str
    labels: int
    validation: float
    right: Float[Tensor, "draws n"]  # 1 where the probe of a draw of labels has a test sample right, else 0

    @property
    def accuracy(self) -> float:
        """Share of the test samples, in [0, 1], mean over draws."""
        return float(self.right.mean())

    def interval(self) -> tuple[float, float]:
        """95 % of the accuracy, by bootstrap over test samples and draws of labels."""
        return bootstrapped(self.right)

    def ahead_of(self, other: "Probed") -> tuple[float, float, float]:
        """By how much this is more accurate on the same test samples and labels, and 95 % of that."""
        assert self.labels == other.labels
        difference = self.right - other.right
        return float(difference.mean()), *bootstrapped(difference)


def bootstrapped(values: Float[Tensor, "draws n"]) -> tuple[float, float]:
    """2.5 and 97.5 % of the mean when columns, and rows where there are several, are drawn with replacement."""
    rows, n = values.shape
    columns = random.integers([random.key(RESAMPLING, 0)], RESAMPLES * n, n)[0].view(RESAMPLES, n)
    weights = torch.zeros(RESAMPLES, n).scatter_add_(1, columns, torch.ones(RESAMPLES, n)) / n
    means = values.cpu().float() @ weights.mT
    drawn = random.integers([random.key(RESAMPLING, 1)], RESAMPLES * rows, rows)[0].view(RESAMPLES, rows)
    # `rows` draws vary by (rows - 1) / rows of what single ones do: without it, intervals over five are a tenth too short.
    wider = (rows / (rows - 1)) ** 0.5 if rows > 1 else 0.0
    within = means.mean(0)
    of_draws = values.double().mean(1).cpu()[drawn].mean(1) - values.double().mean().cpu()
    low, high = torch.quantile(within + wider * of_draws, torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return low, high


class ProbeForecast:
    """Probes of projections of the noisy samples of one data set, as study.observers.Probe makes them of trained encoders: ridge
    regression on standardised features, its strength chosen on the validation split, judged on the test split.

    Args:
        data: labelled pairs, after `setup`.
        index: number of the data set.
        counts: samples of each split at most.
        labels: numbers of labels beside all; those that are not below the number of training samples are left out.
        frozen: network whose features take the place of the samples.

    Raises:
        ValueError: the samples have no labels of two classes or more, or a number of labels is below 1.
    """

    def __init__(
        self,
        data: Pairs,
        index: int = 0,
        counts: dict[str, int] = COUNTS,
        labels: Sequence[int] = NUMBERS,
        frozen: Encoder | None = None,
    ) -> None:
        if labels and min(labels) < 1:
            raise ValueError(f"labels must be at least 1 each, found {min(labels)}")
        sample = Sample.of(data, counts, torch.device("cpu"))
        samples = sample.raw() if frozen is None else sample.encoded(frozen)
        self.sample, self.inputs = sample, {split: x[index % len(x)].cpu() for split, x in samples.items()}
        self.all = len(self.inputs["train"])
        self.numbers = [*(n for n in sorted(set(labels)) if n < self.all), self.all]

    def raw(self, labels: Sequence[int] | None = None) -> list[Probed]:
        """Of the inputs themselves."""
        return self._probed(["raw"], {split: x[None] for split, x in self.inputs.items()}, labels)

    def of(self, encoders: dict[str, Float[Tensor, "k d"]], labels: Sequence[int] | None = None) -> list[Probed]:
        """Of each encoder's features W x, all of the same number, at each number of labels, by default all of them."""
        stack = torch.stack(list(encoders.values())).to(self.inputs["train"])
        # In one product: the samples, which are large, are read once.
        wide = stack.flatten(0, 1).mT
        features = {split: (x @ wide).unflatten(1, stack.shape[:2]).movedim(1, 0) for split, x in self.inputs.items()}
        return self._probed(list(encoders), features, labels)

    def validation(self, encoders: Float[Tensor, "E k d"]) -> Float[Tensor, "E"]:
        """On all labels, accuracy on the validation split, which is what learning rates are chosen by."""
        features = {s: self.inputs[s] @ encoders.to(self.inputs[s]).mT for s in ("train", "validation")}
        return self.sample.fit(features).validation

    def _probed(self, names: list[str], features: dict[str, Tensor], labels: Sequence[int] | None) -> list[Probed]:
        found = []
        for number in self.numbers if labels is None else labels:
            if number == self.all:
                ridges = [self.sample.fit(features)]
            else:
                ridges = fitted(features, self.sample.labels, self.sample.classes, number)
            right = torch.stack([ridge.correct(features["test"], self.sample.labels["test"]).float() for ridge in ridges])
            validation = torch.stack([ridge.validation for ridge in ridges]).mean(0)
            found += [Probed(name, number, float(validation[i]), right[:, i]) for i, name in enumerate(names)]
        return found


def random_projection(k: int, d: int, seed: int = 0) -> Float[Tensor, "k d"]:
    """k random orthonormal directions."""
    return torch.linalg.qr(random.normal([random.key(seed, RESAMPLING)], d, k)[0])[0].mT.contiguous()
