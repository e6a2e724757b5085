"""What JEPA and MAE of k features end in, in closed form from second moments (theory, section 7).

Shapes: d inputs, r dimensions in which x varies, p numbers that are predicted, k features.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from datamodules import Moments
from datamodules.moments import Strongest
from study.observers.leading import leading
from study.observers.maps import distractor_share
from study.theory import exact
from study.theory.flow import Objective, fixed_point

VARIES = 1e-9  # of the largest eigenvalue of Sxx: below, a direction is taken for constant


@dataclass(frozen=True)
class EndState:
    """Where training ends: k directions, the strongest first, and the encoder up to a rotation of its outputs.

    Directions have |v_i| = 1, lam_i = v_i^T Syx v_i and rho_i = lam_i / v_i^T Sxx v_i, Syx by its symmetric part. JEPA's are
    generalised eigenvectors; MAE's span the same as those of highest lam rho only where the moments commute, and their rho is that of
    Rayleigh's quotient.
    """

    features: Strongest
    encoder: Float[Tensor, "k d"]

    def share(self, Sxx: Float[Tensor, "d d"], D: Float[Tensor, "d K"], amplitude: float) -> float:
        """Share of the features' variance that orthonormal directions D of this amplitude have."""
        return float(distractor_share(self.encoder[None], Sxx[None], D.to(self.encoder)[None], amplitude))


class Whitened:
    """Moments in the coordinates z = R^T x of unit covariance, and the end states found there.

    Directions in which x does not vary (constant inputs; fewer samples than inputs) are left out: `rank` of d are left.

    Raises:
        ValueError: x does not vary at all.
    """

    def __init__(self, moments: Moments) -> None:
        self.moments = moments
        self.root_dr = root(moments.Sxx)
        self.rank = self.root_dr.shape[1]

    @cached_property
    def cross_dr(self) -> Float[Tensor, "d r"]:
        """Syx R."""
        return self.moments.Syx @ self.root_dr

    def jepa(self, k: int, depth: int) -> EndState:
        """The k highest rho of Syx v = rho Sxx v, each with the gain rho^L (0 where rho is not positive).

        Raises:
            ValueError: k is beyond the rank.
        """
        _, vectors = self._top(self.root_dr.mT @ self.cross_dr, k)
        features = self._features(vectors)
        return EndState(features, (features.directions * features.rho.clamp(min=0) ** depth).mT.contiguous())

    def mae(self, k: int, depth: int) -> EndState:
        """`regression` on x of y, with its features.

        Raises:
            ValueError: k is beyond the rank.
        """
        vectors, encoder = self.regression(self.moments.Syx, k, depth)
        return EndState(self._features(vectors), encoder)

    def regression(self, Syx: Float[Tensor, "p d"], k: int, depth: int) -> tuple[Float[Tensor, "r k"], Float[Tensor, "k d"]]:
        """Reduced-rank regression on x of what has the covariance Syx with it: with M = Syx Sxx^{-1}, the k leading right singular vectors
        of M Sxx^{1/2}, and an encoder W with W^T W = (M_k^T M_k)^{L/(L+1)}, which is what balanced weights end in.

        Raises:
            ValueError: k is beyond the rank.
        """
        cross_pr = Syx @ self.root_dr
        strength, vectors = self._top(cross_pr.mT @ cross_pr, k)
        left, size, _ = torch.linalg.svd(self.root_dr @ (vectors * strength.clamp(min=0).sqrt()), full_matrices=False)
        return vectors, (left * size ** (depth / (depth + 1))).mT.contiguous()

    def principal(self, k: int) -> Float[Tensor, "k d"]:
        """The directions of highest variance, orthonormal."""
        return leading(self.moments.Sxx, k)[1].mT

    def _top(self, matrix: Float[Tensor, "r r"], k: int) -> tuple[Float[Tensor, "k"], Float[Tensor, "r k"]]:
        if not 1 <= k <= self.rank:
            raise ValueError(
                f"k must be from 1 to {self.rank}, the directions in which x varies (of {len(self.root_dr)} inputs), found {k}"
            )
        return leading((matrix + matrix.mT) / 2, k)

    def _features(self, vectors: Float[Tensor, "r k"]) -> Strongest:
        directions = self.root_dr @ vectors
        size = directions.norm(dim=0)
        rho = ((self.cross_dr.mT @ directions) * vectors).sum(0)
        return Strongest(rho / size**2, rho, directions / size)


def root(Sxx: Float[Tensor, "d d"]) -> Float[Tensor, "d r"]:
    """R with R^T Sxx R = I on the r directions in which x varies: by Cholesky where these are all, else by eigenvectors.

    Raises:
        ValueError: there is none.
    """
    factor, failed = torch.linalg.cholesky_ex(Sxx)
    pivots = factor.diagonal().square()
    if not failed and float(pivots.min()) > VARIES * float(pivots.max()):
        eye = torch.eye(len(Sxx)).to(Sxx)
        return torch.linalg.solve_triangular(factor, eye, upper=False).mT
    values, vectors = torch.linalg.eigh(Sxx)
    kept = values > VARIES * values[-1].clamp(min=0)
    if not bool(kept.any()):
        raise ValueError("x does not vary: every sample is the same; expected samples that differ")
    return vectors[:, kept] / values[kept].sqrt()


def times(features: Strongest, objective: Objective, depth: int, eps: float, fraction: float = 0.5) -> NDArray[np.float64]:
    """Exact single-mode time, learning rate x updates, at which each gain is the fraction of its end: 0 where the initial weights,
    of gain eps, have that already, infinite where it is never learned (rho not positive)."""
    lam, rho = (v.cpu().numpy() for v in (features.lam, features.rho))
    found = np.full(len(lam), np.inf)
    grows = (lam > 0) & (rho > 0)
    lam, rho = lam[grows], rho[grows]
    started = eps >= fraction * fixed_point(objective, rho, depth)
    found[grows] = np.where(started, 0.0, exact.critical_time(objective, lam, rho, depth, eps, fraction))
    return found


def brought(times: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which features training brings: in finite time, and not had from the start."""
    return np.isfinite(times) & (times > 0)
