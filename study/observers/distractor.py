"""What the features hold of the distractor, by its coefficients: of a nonlinear encoder too, which no one linear map stands for."""

import torch
from jaxtyping import Float
from torch import Tensor

from datamodules import Pairs
from models import Learner
from study.observers.coordinates import r2
from study.observers.extract import encoded
from study.observers.observer import Observer
from study.observers.views import Views


def explained(a: dict[str, Float[Tensor, "#N _ K"]], features: dict[str, Float[Tensor, "N _ k"]]) -> Float[Tensor, "N"]:
    """Share of the variance of all features that a linear map of normal coefficients explains, not below 0.

    The R^2 on held-out samples of a map that is fitted on n others is too low, since its K errors add to the residual variance:
    with the intercept's, (1 + 1 / n) (n - 2) / (n - K - 2) times in expectation (Stein 1960), by which it is divided here."""
    n, K = a["train"].shape[1], int((a["train"].var(1) > 0).sum(-1).max())
    if K == 0:
        return torch.zeros(len(features["train"]), dtype=torch.float64, device=a["train"].device)
    inflated, _ = r2(a, features)
    return (1 - (1 - inflated) * n * (n - K - 2) / ((n + 1) * (n - 2))).clamp(min=0)


class Distractor(Observer):
    """Share of feature variance that the distractor's coefficients explain, and how well features predict them.

    Both are ridge regressions on fixed noisy training images, in closed form in float64, with a penalty of 1e-6 per sample in
    units of the mean variance of what is regressed on; and both are judged on validation images. "distractor/share" is what
    the K coefficients `explained`, whatever their number. "distractor/decoded" is the R^2 of a coefficient predicted from the k
    features, averaged over the K: what such a fit reaches, so too low by about (1 - decoded) k / train, and below 0 where the
    prediction is worse than the mean. It says what could be read out, however weak it is in the features.

    Args:
        every: updates between measurements.
        train: training images to fit on.
        test: validation images to judge on.
    """

    def __init__(self, every: int = 1000, train: int = 4000, test: int = 2000) -> None:
        super().__init__(every)
        self.counts = {"train": train, "validation": test}  # the test split is the probe's
        for name, count in (("train", train), ("test", test)):
            if count < 2:
                raise ValueError(f"{name} must be at least 2 images, found {count}")

    def check(self, learner: Learner, data: Pairs) -> None:
        found = data.coordinates("train", 0, 0, self.counts["train"], learner.device)
        if "distractor" not in found:
            raise ValueError(
                f"the distractor's share needs noise with a distractor, found {type(data).__name__} without; remove Distractor from "
                "the callbacks"
            )
        n, K = found["distractor"].shape
        if n <= K + 2:
            raise ValueError(f"train must be more than {K + 2} images to fit {K} coefficients, found {n}; give Distractor more")

    def prepare(self, learner: Learner, data: Pairs) -> dict[str, Tensor]:
        device, sets = learner.device, range(data.sets)
        self.views = {split: Views(data, split, n, device) for split, n in self.counts.items()}
        self.a_SnK = {
            split: torch.stack([data.coordinates(split, s, 0, n, device)["distractor"] for s in sets])
            for split, n in self.counts.items()
        }
        return {}

    def measure(self, learner: Learner, data: Pairs, last: bool) -> dict[str, Tensor]:
        features = {split: encoded(learner.encoder, views) for split, views in self.views.items()}
        _, decoded = r2(features, self.a_SnK)
        return {"distractor/share": explained(self.a_SnK, features), "distractor/decoded": decoded.mean(1)}
