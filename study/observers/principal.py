"""Principal components: the features that need no training."""

import torch
from jaxtyping import Float
from torch import Tensor

from datamodules.gram import gram
from study.observers.leading import leading


def principal(samples: dict[str, Float[Tensor, "S _ d"]], k: int) -> dict[str, Float[Tensor, "S _ m"]]:
    """The samples' coordinates along the m = min(k, n, d) directions of largest variance of the n samples "train", strongest first.

    With X the centred samples, the directions are eigenvectors of X^T X, or X^T u / |X^T u| with u those of X X^T, whichever is the
    smaller problem; it is summed in the samples' own precision and solved in float64.
    """
    found = []
    for x in samples["train"]:
        mean = x.mean(0)
        centred = x - mean
        n, d = centred.shape
        products = gram(centred.mT if n < d else centred).double()
        directions = leading(products, min(k, len(products)))[1].to(x)
        if n < d:
            directions = centred.mT @ directions
            directions = directions / directions.norm(dim=0).clamp(min=1e-30)
        found.append((mean, directions))
    return {
        split: torch.stack([x @ directions - mean @ directions for x, (mean, directions) in zip(of, found, strict=True)])
        for split, of in samples.items()
    }
