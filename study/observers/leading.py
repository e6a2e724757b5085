"""The largest eigenvalues of a symmetric matrix, with their vectors."""

from contextlib import nullcontext
from functools import cache

import scipy.linalg
import torch
from jaxtyping import Float
from threadpoolctl import ThreadpoolController
from torch import Tensor

SMALL = 1024  # sides up to which SciPy's threads wait for each other longer than they compute


def leading(matrix: Float[Tensor, "n n"], k: int) -> tuple[Float[Tensor, "k"], Float[Tensor, "n k"]]:
    """The k largest eigenvalues and their vectors, the largest first; by SciPy, as torch computes all of them."""
    n = len(matrix)
    with _blas().limit(limits=1, user_api="blas") if n <= SMALL else nullcontext():
        values, vectors = scipy.linalg.eigh(matrix.cpu().numpy(), subset_by_index=[n - k, n - 1])
    return torch.from_numpy(values).flip(0).to(matrix), torch.from_numpy(vectors).flip(1).to(matrix)


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController()
