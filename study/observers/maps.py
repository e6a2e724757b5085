"""The linear maps W x that stand for an encoder, and what they hold of the directions of a pair distribution, from its moments.

Shapes: N networks, S in {1, N} data sets, d inputs, k features of a network, f directions.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from datamodules import Moments
from models import MLP, Encoder
from study.observers.directions import Group
from study.observers.extract import best_linear, matrix, mean_jacobian


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


class Maps:
    """The matrix of a linear encoder; of any other the best linear approximation of its features from samples, and an MLP's mean
    input Jacobian.

    Args:
        moments: of each data set.
        recorded: the features whose gain is recorded.
        tops: those of the highest rho and of the highest lambda, as many of each.
        x: views for the approximation, more than d; None for a linear encoder.
        jacobian: how many of them the mean Jacobian is taken over.
    """

    def __init__(
        self,
        moments: list[Moments],
        recorded: Group,
        tops: dict[str, Group],
        x: Float[Tensor, "S n d"] | None,
        jacobian: int,
        device: torch.device,
    ) -> None:
        self.recorded, self.x_Snd, self.jacobian = recorded.directions, x, jacobian
        self.Sxx_Sdd = torch.stack([m.Sxx for m in moments]).to(device)
        self.root_Sdd = torch.linalg.cholesky(self.Sxx_Sdd)
        self.bases = {by: whitened(torch.linalg.qr(top.directions)[0], self.root_Sdd) for by, top in tops.items()}
        if x is not None:
            self.gram_root_Sdd = torch.linalg.cholesky((x.mT @ x / x.shape[1]).double())

    def of(self, encoder: Encoder, features: Float[Tensor, "N n k"] | None) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The maps [N, k, d] by name, and how well they stand for the encoder; `features` are those of x."""
        if self.x_Snd is None:
            return {"linear": matrix(encoder)}, {}
        assert features is not None
        approximation = best_linear(features, self.x_Snd, self.gram_root_Sdd)
        explained = (approximation @ self.gram_root_Sdd).square().sum((1, 2))
        total = features.var(1, unbiased=False).sum(-1).double()
        found = {"linear": approximation}
        if isinstance(encoder, MLP):  # whose first layer every sample shares
            found["jacobian"] = mean_jacobian(encoder, self.x_Snd[:, : self.jacobian])
        return found, {"linear/r2": explained / total}

    def held(self, name: str, map_Nkd: Float[Tensor, "N k d"], known: dict[str, tuple[Tensor, float]]) -> dict[str, Tensor]:
        """What a map holds of the directions, and of others that are known, with their amplitude."""
        gain = gains(map_Nkd, self.Sxx_Sdd, self.recorded)
        k = next(iter(self.bases.values())).shape[-1]
        rows = top_rows(map_Nkd, self.root_Sdd, k)
        return {
            **{f"{name}/gain/{i}": g for i, g in enumerate(gain.T)},
            **{f"{name}/overlap/{by}": overlap(rows, basis) for by, basis in self.bases.items()},
            **{
                f"{name}/{of}": distractor_share(map_Nkd, self.Sxx_Sdd, D_SdK.to(map_Nkd), amplitude)
                for of, (D_SdK, amplitude) in known.items()
            },
        }

    def samples(self, values: Float[Tensor, "N d j"]) -> Float[Tensor, "N 2*d j"]:
        """The values v^T x of columns v [N, d, j] at 2 d points x whose mean is 0 and whose covariance is exactly Sxx."""
        at = (self.root_Sdd.mT @ values) * values.shape[1] ** 0.5
        return torch.cat([at, -at], 1)
