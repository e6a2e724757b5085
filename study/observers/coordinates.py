"""What features hold of known coordinates of the inputs, from samples alone: of any encoder, for any number of inputs."""

import torch
from jaxtyping import Float
from torch import Tensor

RIDGE = 1e-6  # penalty per sample, in units of the inputs' mean variance


def gains(
    features: dict[str, Float[Tensor, "N _ k"]], c: dict[str, Float[Tensor, "#N _ f"]], variance: Float[Tensor, "#N f"]
) -> Float[Tensor, "N f"]:
    """|E f c_i| / E c_i^2, with the known variances of the coordinates. The square is a product of two estimates of E f c_i, from
    "train" and from "validation", so that chance adds nothing to it, and 0 where that product is negative."""
    one, other = (cross(features[split], c[split]) for split in ("train", "validation"))
    return (one * other).sum(1).clamp(min=0).sqrt() / variance


def cross(features: Float[Tensor, "N n k"], c: Float[Tensor, "#N n f"]) -> Float[Tensor, "N k f"]:
    """E f c^T about the means."""
    centred = (features - features.mean(1, keepdim=True)).double()
    return centred.mT @ c.double() / c.shape[1]


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
