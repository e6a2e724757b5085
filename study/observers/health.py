"""Early signs of collapse: the JEPA loss falls in a healthy run and in a collapsing one alike."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import normalize

from datamodules import Pairs
from datamodules.messages import say
from models import Learner
from study.observers.extract import extract
from study.observers.observer import Observer
from study.observers.table import table_of

COLLAPSED = (
    0.05  # of the features' deviation at update 0; to leave out a distractor that dominates the inputs takes less than that
)
NAMED = 8  # networks in one line


def effective_rank(eigenvalues: Float[Tensor, "N k"]) -> Float[Tensor, "N"]:
    """exp of the entropy of the normalised eigenvalues of the features' covariance, from 1 to k (Roy and Vetterli
    2007); 0 for features without variance. For runs of one method: it does not rank JEPA against MAE."""
    total = eigenvalues.sum(-1, keepdim=True)
    p = eigenvalues / total.clamp(min=1e-300)
    return torch.where(total[:, 0] > 0, torch.special.entr(p).sum(-1).exp(), 0.0)


def collapsed(shares: dict[str, Float[Tensor, "N"]]) -> Bool[Tensor, "N"]:
    """Whether features are one point or one line, by what is left of their "std" and "beyond" at update 0."""
    return (shares["std"] < COLLAPSED) | (shares["beyond"] < COLLAPSED)


class Health(Observer):
    """Feature std, effective rank, whether predictions belong to their own pair, and an alarm when features have collapsed.

    "health/gap" is cos(prediction, own target) - cos(prediction, target of the next pair), averaged: 0 where the
    prediction ignores its input. "health/beyond" is the std, in root mean square over features, that is left beyond the strongest
    direction. All on the first `sample` validation pairs, named in the metric.

    A network has collapsed when "std" or "beyond" is less than COLLAPSED of its value at update 0: features of all inputs have become one
    point, or one line. Both are absolute, because a healthy network's effective rank falls too while its first features grow. One
    line on stderr says so when it is seen first, and "collapsed" is the update of that from then on, nan before. Training goes on.

    Args:
        every: updates between measurements.
        sample: number of validation pairs, >= 2.
    """

    def __init__(self, every: int = 1000, sample: int = 256) -> None:
        super().__init__(every)
        if sample < 2:
            raise ValueError(f"sample must be at least 2 pairs, found {sample}")
        self.sample, self.named = sample, f"health/validation-{sample}"

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
        eigenvalues = torch.linalg.eigvalsh(covariance.double()).clamp(min=0)
        found = {
            "std": covariance.diagonal(dim1=1, dim2=2).sqrt().mean(-1),
            "beyond": (eigenvalues[:, :-1].sum(-1) / features.shape[-1]).sqrt(),
            "rank": effective_rank(eigenvalues),
            "gap": (prediction * (target - target.roll(1, 1))).sum(-1).mean(-1),
        }
        found["collapsed"] = self.alarm(learner, min(learner.trainer.global_step * data.chunk, data.updates), found)
        return {f"{self.named}/{name}": value for name, value in found.items()}

    def alarm(self, learner: Learner, update: int, found: dict[str, Tensor]) -> Float[Tensor, "N"]:
        """The update at which each network was first seen collapsed, nan where it was not. The table is the memory, which a resumed
        run has too."""
        table = table_of(learner.trainer)
        past = table.values(f"{self.named}/collapsed")
        if not past:
            return torch.full([learner.encoder.networks], torch.nan, dtype=torch.float64)
        known = past[max(past)]
        shares = {name: found[name].cpu().double() / table.values(f"{self.named}/{name}")[0] for name in ("std", "beyond")}
        new = known.isnan() & collapsed(shares)
        networks = new.nonzero()[:, 0].tolist()
        if networks and learner.trainer.is_global_zero:
            first = networks[0]
            ranks = float(table.values(f"{self.named}/rank")[0][first]), float(found["rank"][first])
            listed = ", ".join(map(str, networks[:NAMED])) + (
                f" and {len(networks) - NAMED} more" if len(networks) > NAMED else ""
            )
            say(
                f"features of network {listed} have collapsed by update {update}: of network {first}, std is "
                f"{float(shares['std'][first]):.2g} of that at update 0, beyond the strongest direction "
                f"{float(shares['beyond'][first]):.2g}, and effective rank went from {ranks[0]:.3g} to {ranks[1]:.3g}"
            )
        return torch.where(new, float(update), known)
