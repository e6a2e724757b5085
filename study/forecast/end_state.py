"""What JEPA and MAE of k features end in, in closed form from second moments (theory, section 7).

Shapes: d inputs, r dimensions in which x varies, p numbers that are predicted, k features.
"""

from collections.abc import Callable
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

VARIES = 1e-7  # of the largest eigenvalue of Sxx: below, float32 products are rounding, and a direction is taken for constant
LEAST = 1e-12  # rho, in place of one that is not positive
POWERS = 6  # iterations
ASYMMETRY = 0.01  # of a cross-covariance's norm, from which on its antisymmetric part counts
SEARCHED = 1024  # dimensions up to which features that turn are looked for: beyond, it takes minutes


@dataclass(frozen=True)
class EndState:
    """Where training ends: k directions, the strongest first, and the encoder up to a rotation of its outputs.

    Directions have |v_i| = 1, lam_i = v_i^T Syx u_i and rho_i = lam_i / v_i^T Sxx v_i, where u_i is v_i, or for features that turn
    between x and y the direction of the same plane that y's v_i is predicted from (`turned`). JEPA's are generalised eigenvectors; MAE's
    span the same as those of highest lam rho only where the moments commute, and their rho is that of Rayleigh's quotient.
    """

    features: Strongest
    encoder: Float[Tensor, "k d"]
    turned: Float[Tensor, "d k"]


def share(encoder: Float[Tensor, "k d"], Sxx: Float[Tensor, "d d"], D: Float[Tensor, "d K"], amplitude: float) -> float:
    """Share of the features' variance that orthonormal directions D of this amplitude have."""
    return float(distractor_share(encoder[None], Sxx[None], D.to(encoder)[None], amplitude))


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
        self.asymmetry = float((moments.Syx - moments.Syx.mT).norm() / 2 / moments.Syx.norm())
        self.turns = self.asymmetry > ASYMMETRY and self.rank <= SEARCHED

    @cached_property
    def cross_dr(self) -> Float[Tensor, "d r"]:
        """Syx R."""
        return self.moments.Syx @ self.root_dr

    def jepa(self, k: int, depth: int) -> EndState:
        """The k highest rho of Syx v = rho Sxx v, each with the gain rho^L (0 where rho is not positive). Where Syx is not symmetric, the
        k of highest modulus of Sxy v = rho Sxx v, which are planes that turn where rho is complex.

        Raises:
            ValueError: k is beyond the rank.
        """
        self._check(k)
        cross_rr = self.root_dr.mT @ self.cross_dr
        if self.turns:
            vectors, turned = turning(cross_rr, k)
        else:
            cross_rr = (cross_rr + cross_rr.mT).div_(2)  # in its place, as each of these can take a tenth of a gigabyte
            vectors = turned = leading(cross_rr, k)[1]
        features, turned = self._features(vectors, turned)
        return EndState(features, (features.directions * features.rho.clamp(min=0) ** depth).mT.contiguous(), turned)

    def mae(self, k: int, depth: int) -> EndState:
        """`regression` on x of y, with its features.

        Raises:
            ValueError: k is beyond the rank.
        """
        vectors, encoder = self.regression(self.moments.Syx, k, depth)
        features, turned = self._features(vectors, vectors)
        return EndState(features, encoder, turned)

    def regression(self, Syx: Float[Tensor, "p d"], k: int, depth: int) -> tuple[Float[Tensor, "r k"], Float[Tensor, "k d"]]:
        """Reduced-rank regression on x of what has the covariance Syx with it: with M = Syx Sxx^{-1}, the k leading right singular vectors
        of M Sxx^{1/2}, and an encoder W with W^T W = (M_k^T M_k)^{L/(L+1)}, which is what balanced weights end in.

        Raises:
            ValueError: k is beyond the rank.
        """
        self._check(k)
        cross_pr = Syx @ self.root_dr
        strength, vectors = leading(cross_pr.mT @ cross_pr, k)
        left, size, _ = torch.linalg.svd(self.root_dr @ (vectors * strength.clamp(min=0).sqrt()), full_matrices=False)
        return vectors, (left * size ** (depth / (depth + 1))).mT.contiguous()

    def _check(self, k: int) -> None:
        if not 1 <= k <= self.rank:
            raise ValueError(
                f"k must be from 1 to {self.rank}, the directions in which x varies (of {len(self.root_dr)} inputs), found {k}"
            )

    def _features(self, vectors: Float[Tensor, "r k"], turned: Float[Tensor, "r k"]) -> tuple[Strongest, Float[Tensor, "d k"]]:
        directions = self.root_dr @ vectors
        size = directions.norm(dim=0)
        rho = ((self.cross_dr.mT @ directions) * turned).sum(0)
        return Strongest(rho / size**2, rho, directions / size), self.root_dr @ turned / size


def turning(cross_rr: Float[Tensor, "r r"], k: int) -> tuple[Float[Tensor, "r k"], Float[Tensor, "r k"]]:
    """The real planes and lines that belong to the k eigenvalues of N^T of highest modulus, N the covariance Syx of whitened views, with
    orthonormal vectors v in each; and in the same plane the vectors u, turned so that v^T N u is the modulus. Of a plane of which
    only one direction has room there is the first, with the part of it that does not turn."""
    import scipy.linalg

    N = cross_rr.numpy()
    values, vectors = scipy.linalg.eig(N.T)
    found: list[NDArray] = []
    turned: list[NDArray] = []
    for i in np.argsort(-np.abs(values), kind="stable"):
        if values[i].imag < 0:  # comes with its conjugate
            continue
        plane = [vectors[:, i].real, vectors[:, i].imag][: 2 if values[i].imag else 1][: k - sum(v.shape[1] for v in found)]
        if not plane:
            break
        v, _ = np.linalg.qr(np.stack(plane, 1))
        left, _, right = np.linalg.svd(v.T @ N @ v)  # the rotation that is nearest to it
        found.append(v)
        turned.append(v @ (left @ right).T)
    return torch.from_numpy(np.hstack(found)), torch.from_numpy(np.hstack(turned))


def root(Sxx: Float[Tensor, "d d"]) -> Float[Tensor, "d r"]:
    """R with R^T Sxx R = I on the r directions in which x varies: by Cholesky where these are all, else by eigenvectors.

    Raises:
        ValueError: there is none.
    """
    factor, failed = torch.linalg.cholesky_ex(Sxx)
    if not failed:
        R = torch.linalg.solve_triangular(factor, torch.eye(len(Sxx)).to(Sxx), upper=False).mT
        inverse = _largest(lambda v: R @ (R.mT @ v), torch.linalg.vector_norm(R, dim=1))
        if VARIES * _largest(lambda v: Sxx @ v, Sxx.diagonal()) * inverse < 1:
            return R
    values, vectors = torch.linalg.eigh(Sxx)
    kept = values > VARIES * values[-1].clamp(min=0)
    if not bool(kept.any()):
        raise ValueError("x does not vary: every sample is the same; expected samples that differ")
    return vectors[:, kept] / values[kept].sqrt()


def _largest(product: Callable[[Float[Tensor, "d"]], Float[Tensor, "d"]], sizes: Float[Tensor, "d"]) -> float:
    """The largest eigenvalue of a positive definite matrix, from below, by power iteration from the input of the largest size: a tenth is
    near enough here, where an eigenvalue problem would take most of the time."""
    v = torch.zeros_like(sizes)
    v[sizes.argmax()] = 1
    for _ in range(POWERS):
        v = product(v)
        v = v / v.norm()
    return float(product(v).norm())


def times(features: Strongest, objective: Objective, depth: int, eps: float) -> NDArray[np.float64]:
    """Exact single-mode time, learning rate x updates, at which each gain has come half of its way from the initial eps to its end:
    infinite where it does not grow, as its end is lower than that or its rho not positive."""
    lam, rho = (v.cpu().numpy() for v in (features.lam, features.rho))
    end = np.where((lam > 0) & (rho > 0), fixed_point(objective, rho.clip(min=LEAST), depth), 0.0)
    grows = end > eps
    half = (1 + eps / end[grows]) / 2
    found = np.full(len(lam), np.inf)
    found[grows] = exact.critical_time(objective, lam[grows], rho[grows], depth, eps, half)
    return found
