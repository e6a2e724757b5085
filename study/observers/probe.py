"""Linear probe of the online features over training, with a random encoder, principal components and raw pixels beside it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor

from datamodules import Pairs
from models import Encoder, Learner
from study.observers.extract import encoded
from study.observers.few import Few, few
from study.observers.observer import Observer
from study.observers.principal import principal
from study.observers.ridge import Ridge, fit
from study.observers.views import Views

Baseline = Literal["random", "pixels", "pca"]


@dataclass(frozen=True)
class Sample:
    """The fixed noisy images a probe is fitted, chosen and tested on, and their labels, per split."""

    views: dict[str, Views]
    labels: dict[str, Int[Tensor, "n"]]
    classes: int

    @classmethod
    def check(cls, data: Pairs) -> None:
        """Raises ValueError: the samples have no labels, or are all of one class."""
        if data.classes is None:
            raise ValueError(
                f"a probe needs labelled samples, found {type(data).__name__} without labels; remove Probe from the callbacks"
            )
        if data.classes < 2:
            raise ValueError(
                f"a probe needs samples of at least 2 classes, found {data.classes}; give pictures one sub-folder per class, or remove "
                "Probe from the callbacks"
            )

    @classmethod
    def of(cls, data: Pairs, counts: dict[str, int], device: torch.device) -> "Sample":
        cls.check(data)
        assert data.classes is not None
        labels = {split: data.labels(split, n) for split, n in counts.items()}
        return cls(
            {split: Views(data, split, n, device) for split, n in counts.items()},
            {split: of.to(device) for split, of in labels.items() if of is not None},
            data.classes,
        )

    def raw(self) -> dict[str, Float[Tensor, "S _ d"]]:
        """The images as they are, all at once."""
        return {split: views.all() for split, views in self.views.items()}

    def encoded(self, encoder: Encoder) -> dict[str, Float[Tensor, "N _ k"]]:
        return {split: encoded(encoder, views) for split, views in self.views.items()}

    def fit(self, features: dict[str, Tensor]) -> Ridge:
        return fit(features["train"], self.labels["train"], features["validation"], self.labels["validation"], self.classes)

    def few(self, features: dict[str, Tensor], numbers: Sequence[int]) -> dict[int, Few]:
        return few(features, self.labels, self.classes, numbers)

    def test(self, ridge: Ridge, features: dict[str, Tensor]) -> Float[Tensor, "N"]:
        return ridge.accuracy(features["test"], self.labels["test"])


class Probe(Observer):
    """Probe accuracy of the online features on noisy images, with baselines beside it: a random encoder, raw pixels, and as many of
    their principal components as there are features.

    Validation accuracy is recorded over training. The test split is read once per encoder: at update 0 for the random
    (initial) encoder and the other baselines, after the last update for the trained one.

    Args:
        every: updates between measurements.
        train: images to fit on.
        validation: images to choose the ridge strength on.
        test: images to report; none leaves the test split unread, as whoever tunes should, and the baselines with it.
        labels: numbers of labels at which the final features are probed too, beside all (study.observers.few); those that are
            not below the number of training images are left out.
        baselines: of random, pixels and pca, which are the same for all trainings of the same encoder, or even of the same data.
    """

    def __init__(
        self,
        every: int = 1000,
        train: int = 8000,
        validation: int = 2000,
        test: int | None = 5000,
        labels: list[int] = [],  # noqa: B006 - LightningCLI shows the default; it is never changed
        baselines: list[Baseline] = ["random", "pixels", "pca"],  # noqa: B006
    ) -> None:
        super().__init__(every)
        if labels and min(labels) < 1:
            raise ValueError(f"labels must be at least 1 each, found {min(labels)}")
        if wrong := set(baselines) - set(get_args(Baseline)):
            raise ValueError(f"baselines must be of {', '.join(get_args(Baseline))}, found {min(wrong)!r}")
        self.labels, self.baselines = list(labels), list(baselines)
        self.counts = {"train": train, "validation": validation} | ({} if test is None else {"test": test})
        for split, count in self.counts.items():
            if count < 1:
                raise ValueError(f"{split} must be at least 1 image, found {count}")

    def check(self, learner: Learner, data: Pairs) -> None:
        Sample.check(data)

    def prepare(self, learner: Learner, data: Pairs) -> dict[str, Tensor]:
        self.sample = Sample.of(data, self.counts, learner.device)
        self.initial: dict[str, Tensor] | None = None
        if learner.trainer.global_step or "test" not in self.counts:  # baselines are recorded once, at update 0
            return {}
        found: dict[str, Tensor] = {}
        for name, features in self.baseline_features(learner.encoder):
            ridge = self.sample.fit(features)
            found |= {f"probe/{name}/noisy/validation": ridge.validation, **self.tested(f"probe/{name}", ridge, features)}
        return {metric: value.expand(learner.encoder.networks) for metric, value in found.items()}

    def baseline_features(self, encoder: Encoder) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """What is probed beside the trained encoder, by its place in metrics."""
        if "random" in self.baselines:
            self.initial = self.sample.encoded(encoder)
            yield "random/features", self.initial
        if {"pixels", "pca"} & set(self.baselines):
            raw = self.sample.raw()
            made = {"pixels": lambda: raw, "pca": lambda: principal(raw, encoder.features)}
            yield from ((name, make()) for name, make in made.items() if name in self.baselines)

    def tested(self, name: str, ridge: Ridge, features: dict[str, Tensor]) -> dict[str, Float[Tensor, "N"]]:
        """The one look of these features at the test split: fitted on all labels, and on few."""
        few = {f"{name}/noisy/test-{n}": found.test for n, found in self.sample.few(features, self.labels).items()}
        return {f"{name}/noisy/test": self.sample.test(ridge, features), **few}

    def measure(self, learner: Learner, data: Pairs, last: bool) -> dict[str, Tensor]:
        splits = self.initial or self.sample.encoded(learner.encoder)
        self.initial = None  # at update 0 the encoder was still the random one
        ridge = self.sample.fit(splits)
        metrics = {"probe/online/features/noisy/validation": ridge.validation}
        if last and "test" in self.counts:
            metrics |= self.tested("probe/online/features", ridge, splits)
        return metrics
