"""What a linear map W x holds of the directions of a pair distribution, exactly, from its moments.

Shapes: N networks, S in {1, N} data sets, d inputs, k features of a network, f directions.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def gains(map_Nkd: Tensor, Sxx_Sdd: Tensor, directions_Sdf: Tensor) -> Float[Tensor, "N f"]:
    """Gain |W Sxx v| / (v^T Sxx v) of W along features v: |W v| where Sxx and Syx commute, and otherwise the size of
    the coefficient of v_i^T in W, because directions are orthogonal in the metric Sxx."""
    Sv = Sxx_Sdd @ directions_Sdf
    return (map_Nkd @ Sv).norm(dim=1) / (directions_Sdf * Sv).sum(1)


def top_rows(map_Nkd: Tensor, root_Sdd: Tensor, k: int) -> Float[Tensor, "N k d"]:
    """The k strongest principal features of W x, as orthonormal rows in the whitened input z, x = root z,
    Sxx = root root^T. In z the weight of a direction is its variance, so that directions in which x hardly varies, where
    a fitted W is arbitrary, do not count."""
    whitened_Nkd = map_Nkd @ root_Sdd
    # By the smaller problem W W^T: its squared condition blurs only directions that are 1e-8 of the strongest.
    left_Nkk = torch.linalg.eigh(whitened_Nkd @ whitened_Nkd.mT)[1][..., -k:].flip(-1)
    return torch.linalg.qr(whitened_Nkd.mT @ left_Nkk)[0].mT


def whitened(basis_Sdk: Tensor, root_Sdd: Tensor) -> Float[Tensor, "S d k"]:
    """An orthonormal basis, in the whitened input, of the features v_i^T x given as columns."""
    return torch.linalg.qr(root_Sdd.mT @ basis_Sdk)[0]


def overlap(rows_Nkd: Tensor, basis_Sdk: Tensor) -> Float[Tensor, "N"]:
    """Share in [0, 1] of one k-dimensional space that lies in another, both given orthonormal; k / d by chance."""
    return (rows_Nkd @ basis_Sdk).square().sum((1, 2)) / basis_Sdk.shape[-1]


def distractor_share(map_Nkd: Tensor, Sxx_Sdd: Tensor, D_SdK: Tensor, amplitude: float) -> Float[Tensor, "N"]:
    """Share of the variance of the features W x that comes from the distractor: A^2 |W D|^2 / tr(W Sxx W^T)."""
    return amplitude**2 * (map_Nkd @ D_SdK).square().sum((1, 2)) / ((map_Nkd @ Sxx_Sdd) * map_Nkd).sum((1, 2))
