"""Second moments of pairs (x, y), and the features (lambda, rho, direction) that theory speaks of."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import scipy.linalg
import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Features:
    """Generalised features of a pair distribution, strongest covariance first.

    Feature i is the linear function x -> v_i . x with |v_i| = 1 and Syx v_i = rho_i Sxx v_i; lam_i = v_i^T Syx v_i.
    `directions` holds v_i as columns. Where Sxx and Syx commute these are their common eigenvectors (Littwin et al.
    2024, section 2); otherwise the directions are orthogonal in the metric Sxx, which is kept as `metric`.
    """

    lam: Float[Tensor, "d"]
    rho: Float[Tensor, "d"]
    directions: Float[Tensor, "d d"]
    metric: Float[Tensor, "d d"]

    def top(self, by: str, k: int) -> Float[Tensor, "d k"]:
        """An orthonormal basis of the span of the k features with the largest `by` ("lam" or "rho")."""
        order = getattr(self, by).argsort(descending=True)[:k]
        return torch.linalg.qr(self.directions[:, order])[0]


@dataclass(frozen=True)
class Moments:
    """Uncentred second moments Sxx = E[x x^T], Syx = E[y x^T], Syy = E[y y^T], float64.

    `count` is the number of pairs behind them; infinity for moments that are exact by construction.
    """

    Sxx: Float[Tensor, "d d"]
    Syx: Float[Tensor, "d d"]
    Syy: Float[Tensor, "d d"]
    count: float = math.inf

    @classmethod
    def of(cls, x: Float[Tensor, "n d"], y: Float[Tensor, "n d"]) -> "Moments":
        """Moments of one batch of pairs, accumulated in float64."""
        if len(x) == 0:
            raise ValueError("moments of an empty batch are undefined; give at least one pair")
        x, y = x.double(), y.double()
        return cls(x.T @ x / len(x), y.T @ x / len(x), y.T @ y / len(x), float(len(x)))

    @classmethod
    def stream(cls, batches: Iterable[tuple[Tensor, Tensor]]) -> "Moments":
        """Moments of all pairs in `batches` without ever holding more than one batch."""
        total: Moments | None = None
        for x, y in batches:
            batch = cls.of(x, y)
            total = batch if total is None else total + batch
        if total is None:
            raise ValueError("moments of an empty stream are undefined; give at least one batch of pairs")
        return total

    def __add__(self, other: "Moments") -> "Moments":
        """Moments of the union of two disjoint samples: associative, so partial results of processes merge."""
        if math.isinf(self.count) or math.isinf(other.count):
            raise ValueError("exact moments have no sample to merge; merge moments that were counted from pairs")
        count = self.count + other.count
        mine, theirs = self.count / count, other.count / count
        return Moments(
            mine * self.Sxx + theirs * other.Sxx,
            mine * self.Syx + theirs * other.Syx,
            mine * self.Syy + theirs * other.Syy,
            count,
        )

    def symmetric(self) -> "Moments":
        """Averaged with the moments of (y, x), for views that have one distribution."""
        S = (self.Sxx + self.Syy) / 2
        return Moments(S, (self.Syx + self.Syx.mT) / 2, S, self.count)

    def check(self, tolerance: float = 1e-9) -> None:
        """Refuse matrices that no pairs (x, y) can have.

        Raises:
            ValueError: Sxx or Syy is not symmetric positive semidefinite, or the joint covariance of (x, y) is indefinite
                (some |rho| is so large that Syy cannot hold it); names the offending eigenvalue.
        """
        for name, S in (("Sxx", self.Sxx), ("Syy", self.Syy)):
            gap = float((S - S.T).abs().max() / S.abs().max())
            if not gap <= tolerance:
                raise ValueError(f"{name} must be symmetric, found entries that differ by {gap:.3g} of the largest")
        joint = torch.cat([torch.cat([self.Sxx, self.Syx.T], 1), torch.cat([self.Syx, self.Syy], 1)])
        where = "Syx is inconsistent with Sxx and Syy (some |rho| is too large): their joint covariance"
        for name, S in (("Sxx", self.Sxx), ("Syy", self.Syy), (where, joint)):
            values = torch.linalg.eigvalsh(S)
            if not values[0] >= -tolerance * values[-1].abs():
                raise ValueError(f"{name} must be positive semidefinite, found eigenvalue {float(values[0]):.3g}")

    def features(self, tolerance: float = 1e-9) -> Features:
        """Solve Syx v = rho Sxx v; Syx enters by its symmetric part (the two views play the same role).

        Directions of equal rho (relative gap below `tolerance`) are only fixed as a subspace; there we take the basis
        in which Syx is diagonal, so that equal rho with different lambda gives the common eigenvectors.

        Raises:
            ValueError: Sxx is not positive definite.
        """
        symmetric = (self.Syx + self.Syx.T) / 2
        smallest = float(torch.linalg.eigvalsh(self.Sxx)[0])
        if not smallest > 0:
            raise ValueError(
                f"Sxx must be positive definite, found smallest eigenvalue {smallest:.3g}; "
                "add input noise or drop constant directions"
            )
        rho_, vectors_ = scipy.linalg.eigh(symmetric.cpu().numpy(), self.Sxx.cpu().numpy())
        rho, vectors = torch.from_numpy(rho_), torch.from_numpy(vectors_)
        starts = [0, *(torch.nonzero(rho.diff() > tolerance * rho.abs().max()).flatten() + 1).tolist(), len(rho)]
        for first, last in pairwise(starts):
            basis = torch.linalg.qr(vectors[:, first:last])[0]
            vectors[:, first:last] = basis @ torch.linalg.eigh(basis.T @ symmetric.cpu() @ basis)[1]
        lam = ((symmetric.cpu() @ vectors) * vectors).sum(0)
        order = lam.argsort(descending=True)
        device = self.Sxx.device
        return Features(lam[order].to(device), rho[order].to(device), vectors[:, order].to(device), self.Sxx)
