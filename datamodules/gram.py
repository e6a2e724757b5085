"""Products of samples with themselves."""

import torch
from jaxtyping import Float
from torch import Tensor


def gram(x: Float[Tensor, "n d"]) -> Float[Tensor, "d d"]:
    """X^T X in the samples' own precision; on a CPU by NumPy, which computes one half and copies it to the other."""
    return x.mT @ x if x.is_cuda else torch.from_numpy(x.numpy().T @ x.numpy())
