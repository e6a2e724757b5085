"""What the features hold of the distractor, by its coefficients: of a nonlinear encoder too, which no one linear map stands for."""

import torch
from jaxtyping import Float
from torch import Tensor

from datamodules import Pairs
from models import Learner
from study.observers.extract import extract, views
from study.observers.observer import Observer

RIDGE = 1e-6  # penalty per sample, in units of the inputs' mean variance


def r2(
    inputs: dict[str, Float[Tensor, "#N _ i"]], outputs: dict[str, Float[Tensor, "#N _ o"]]
) -> tuple[Float[Tensor, "N"], Float[Tensor, "N o"]]:
    """How well ridge regression with intercept on "train" predicts the outputs on "validation": 1 - squared residuals / squared
    deviations from their mean, for all outputs together and for each; 0 for outputs that do not vary."""
    x, y = ({split: v.double() for split, v in side.items()} for side in (inputs, outputs))
    x_mean, y_mean = x["train"].mean(1, keepdim=True), y["train"].mean(1, keepdim=True)
    centred = x["train"] - x_mean
    gram = centred.mT @ centred / centred.shape[1]
    penalty = RIDGE * gram.diagonal(dim1=1, dim2=2).mean(1).clamp(min=1e-300)
    regular = gram + penalty[:, None, None] * torch.eye(gram.shape[-1]).to(gram)
    weights = torch.linalg.solve(regular, centred.mT @ (y["train"] - y_mean) / centred.shape[1])
    residual = (y["validation"] - y_mean - (x["validation"] - x_mean) @ weights).square().sum(1)
    total = (y["validation"] - y["validation"].mean(1, keepdim=True)).square().sum(1).expand_as(residual)
    return _share(residual.sum(1), total.sum(1)), _share(residual, total)


def _share(residual: Tensor, total: Tensor) -> Tensor:
    return torch.where(total > 0, 1 - residual / total, 0.0)


class Distractor(Observer):
    """Share of feature variance that the distractor's coefficients explain, and how well features predict them.

    Both are ridge regressions on fixed noisy training images, in closed form in float64, with a penalty of 1e-6 per sample in
    units of the mean variance of what is regressed on; and both are judged on validation images. "distractor/share" is the
    share of the variance of all features that K coefficients explain, not below 0: too low by about (1 - share) K / train.
    "distractor/decoded" is the R^2 of a coefficient predicted from the features, averaged over the K: below 0 where the
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
        if "distractor" not in data.coordinates("train", 0, 0, 1, learner.device):
            raise ValueError(
                f"the distractor's share needs noise with a distractor, found {type(data).__name__} without; remove Distractor from "
                "the callbacks"
            )

    def prepare(self, learner: Learner, data: Pairs) -> dict[str, Tensor]:
        device, sets = learner.device, range(data.sets)
        self.x_Snd = {split: views(data, split, n, device) for split, n in self.counts.items()}
        self.a_SnK = {
            split: torch.stack([data.coordinates(split, s, 0, n, device)["distractor"] for s in sets])
            for split, n in self.counts.items()
        }
        return {}

    def measure(self, learner: Learner, data: Pairs, last: bool) -> dict[str, Tensor]:
        features = {split: extract(learner.encoder, x)["features"] for split, x in self.x_Snd.items()}
        share, _ = r2(self.a_SnK, features)
        _, decoded = r2(features, self.a_SnK)
        return {"distractor/share": share.clamp(min=0), "distractor/decoded": decoded.mean(1)}
