"""Matrices of several shapes as one tensor: padded with zeros, which stay zero under gradient descent."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad


def square(matrices: list[Tensor], D: int) -> Float[Tensor, "N M D D"]:
    """Matrices [N, out, in] of any shape up to D, padded and stacked."""
    return torch.stack([pad(m, (0, D - m.shape[2], 0, D - m.shape[1])) for m in matrices], 1)
