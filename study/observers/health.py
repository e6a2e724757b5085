"""Early signs of collapse: the JEPA loss falls in a healthy run and in a collapsing one alike."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from datamodules import Pairs
from models import Learner
from study.observers.extract import extract
from study.observers.observer import Observer


def effective_rank(covariance: Float[Tensor, "N k k"]) -> Float[Tensor, "N"]:
    """exp of the entropy of the normalised eigenvalues of the features' covariance, from 1 to k (Roy and Vetterli
    2007); 0 for features without variance. For runs of one method: it does not rank JEPA against MAE."""
    eigenvalues = torch.linalg.eigvalsh(covariance.double()).clamp(min=0)
    total = eigenvalues.sum(-1, keepdim=True)
    p = eigenvalues / total.clamp(min=1e-300)
    return torch.where(total[:, 0] > 0, torch.special.entr(p).sum(-1).exp(), 0.0)


class Health(Observer):
    """Feature std, effective rank, and whether predictions belong to their own pair.

    "health/gap" is cos(prediction, own target) - cos(prediction, target of the next pair), averaged: 0 where the
    prediction ignores its input. All on the first `sample` validation pairs, named in the metric.

    Args:
        every: updates between measurements.
        sample: number of validation pairs, >= 2.
    """

    def __init__(self, every: int = 1000, sample: int = 256) -> None:
        super().__init__(every)
        if sample < 2:
            raise ValueError(f"sample must be at least 2 pairs, found {sample}")
        self.sample = sample

    def prepare(self, learner: Learner, data: Pairs) -> dict[str, Tensor]:
        pairs = [data.evaluation("validation", s, 0, self.sample, learner.device) for s in range(data.sets)]
        self.x_Snd, self.y_Snd = (torch.stack(side) for side in zip(*pairs, strict=True))
        return {}

    def measure(self, learner: Learner, data: Pairs, last: bool) -> dict[str, Tensor]:
        features = extract(learner.encoder, self.x_Snd)["features"]
        prediction = normalize(learner.predictor(features), dim=-1)
        target = normalize(learner.objective.target(learner.encoder, learner.predictor, self.y_Snd.to(prediction)), dim=-1)
        centred = features - features.mean(1, keepdim=True)
        covariance = centred.mT @ centred / (features.shape[1] - 1)
        named = f"health/validation-{self.sample}"
        return {
            f"{named}/std": covariance.diagonal(dim1=1, dim2=2).sqrt().mean(-1),
            f"{named}/rank": effective_rank(covariance),
            f"{named}/gap": (prediction * (target - target.roll(1, 1))).sum(-1).mean(-1),
        }
