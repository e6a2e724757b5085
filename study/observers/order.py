"""When features are learned, and how far that order follows their rho or lambda."""

import torch
from jaxtyping import Float
from scipy.stats import rankdata
from torch import Tensor


def learning_times(steps: Float[Tensor, "T"], gain: Float[Tensor, "T N f"], fraction: float = 0.5) -> Float[Tensor, "N f"]:
    """First time the gain has covered `fraction` of the way from its first to its last value, interpolated linearly;
    infinite where the gain does not grow."""
    first, last = gain[0], gain[-1]
    level = first + fraction * (last - first)
    crossed = gain >= level
    index = crossed.int().argmax(0).clamp(min=1)
    before, after = gain.gather(0, index[None] - 1)[0], gain.gather(0, index[None])[0]
    weight = ((level - before) / (after - before)).nan_to_num(1.0)
    time = steps[index - 1] + weight * (steps[index] - steps[index - 1])
    return torch.where(last > first, time, torch.inf)


def rank_correlation(a: Float[Tensor, "N f"], b: Float[Tensor, "N f"]) -> Float[Tensor, "N"]:
    """Spearman's rank correlation along the last axis; nan where one side is constant."""
    ranks = [torch.from_numpy(rankdata(v.cpu().numpy(), axis=-1)) for v in (a, b)]
    x, y = (r - r.mean(-1, keepdim=True) for r in ranks)
    return (x * y).sum(-1) / (x.square().sum(-1) * y.square().sum(-1)).sqrt()
