"""Principal components: the features that need no training."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from study.observers.leading import leading


def principal(samples: dict[str, Float[Tensor, "S _ d"]], k: int) -> dict[str, Float[Tensor, "S _ m"]]:
    """The samples' coordinates along the m = min(k, n, d) directions of largest variance of the n samples "train", strongest first.

    With X the centred samples, the directions are eigenvectors of X^T X, or X^T u / |X^T u| with u those of X X^T, whichever is the
    smaller problem; it is summed in the samples' own precision and solved in float64.
    """
    # On a CPU by NumPy, which computes one half of a matrix times itself; and all by it, as threads of two libraries wait for each other.
    library: Any = torch if samples["train"].is_cuda else np
    given = {split: of if of.is_cuda else of.numpy() for split, of in samples.items()}
    found = []
    for x in given["train"]:
        mean = x.mean(0)
        centred = x - mean
        n, d = centred.shape
        products = library.asarray(centred @ centred.mT if n < d else centred.mT @ centred, dtype=library.float64)
        directions = library.asarray(leading(torch.as_tensor(products), min(k, n, d))[1], dtype=x.dtype)
        if n < d:
            directions = centred.mT @ directions
            directions = directions / ((directions**2).sum(0) ** 0.5 + 1e-30)
        found.append((mean, directions))
    return {
        split: torch.as_tensor(library.stack([x @ W - mean @ W for x, (mean, W) in zip(of, found, strict=True)]))
        for split, of in given.items()
    }
