"""The strongest features of a pair distribution from products with its moments, where d x d matrices are too large.

Shapes: d inputs; q columns of the basis of the subspace that is searched.
"""

import scipy.linalg
import torch
from jaxtyping import Float
from torch import Tensor

from datamodules import random
from datamodules.moments import Strongest
from datamodules.products import Products

DENSE = 4096  # inputs up to which moments are matrices: beyond, each takes over 134 MB and its decomposition minutes
TOLERANCE = 1e-6  # of the residuals |Syx v - rho Sxx v| / |Syx v| at which the search ends
ROUNDS = 10  # of the search at most: each is a pass through the data, and adds at most twice as many columns as are sought
SPARE = 8  # random vectors more than the features that are sought, so that the last of these are found as quickly as the first
START = -5  # stands where the data's streams of random numbers have their seed


def strongest(products: Products, count: int, device: torch.device | str = "cpu") -> Strongest:
    """The `count` features of highest rho and those of highest lambda, and others that are found on the way.

    Syx v = mu (Sxx - Syx) v has the same features, and mu = rho / (1 - rho) tells apart those whose rho is almost 1. It is solved in
    a growing subspace (Rayleigh and Ritz) that starts from random vectors, brought towards either end by a product, and grows
    by the residuals of the features sought, preconditioned (generalised Davidson method, Morgan and Scott 1986, in blocks).
    Features of high lambda lie inside the spectrum of rho: their residual bounds the error of rho, but their directions are as certain
    only as it is small beside the gaps to the next rho.

    Raises:
        ValueError: Sxx - Syx is not positive definite.
    """
    d = products.inputs
    start = random.normal([random.key(START)], d, min(count + SPARE, d))[0].double().to(device)
    Syx_start, _ = products.products(torch.linalg.qr(start)[0])
    grown = torch.cat([Syx_start, products.solved(Syx_start)], 1)
    basis, Syx_basis, difference_basis = torch.zeros(3, d, 0, dtype=torch.float64, device=device)
    for _ in range(ROUNDS):
        new = _orthonormal(grown, basis)
        basis, Syx_basis, difference_basis = (
            torch.cat(both, 1)
            for both in zip((basis, Syx_basis, difference_basis), (new, *products.products(new)), strict=True)
        )
        mu, inside = _ritz(basis.mT @ Syx_basis, basis.mT @ difference_basis)
        Syx_v = Syx_basis @ inside
        found = Strongest(((basis @ inside) * Syx_v).sum(0), mu / (1 + mu), basis @ inside)
        sought = torch.cat([found.tops(by, count) for by in ("rho", "lam")]).unique()
        apart = (Syx_v - mu * (difference_basis @ inside))[:, sought]  # (1 + mu) (Syx v - rho Sxx v)
        residuals = apart.norm(dim=0) / ((1 + mu[sought]) * Syx_v[:, sought].norm(dim=0))
        if residuals.max() <= TOLERANCE or basis.shape[1] == d:
            break
        grown = products.solved(apart)
    order = found.tops("lam", len(mu))
    return Strongest(found.lam[order], found.rho[order], found.directions[:, order])


def _orthonormal(grown: Float[Tensor, "d n"], basis: Float[Tensor, "d q"]) -> Float[Tensor, "d m"]:
    """What of these vectors lies outside the basis, as orthonormal columns, no more than there is room for."""
    for _ in range(2):  # twice is enough: once leaves rounding errors of vectors that lie almost inside
        grown = grown - basis @ (basis.mT @ grown)
        grown = torch.linalg.qr(grown / grown.norm(dim=0).clamp(min=1e-300))[0]
    return grown[:, : basis.shape[0] - basis.shape[1]]


def _ritz(Syx: Float[Tensor, "q q"], difference: Float[Tensor, "q q"]) -> tuple[Float[Tensor, "q"], Float[Tensor, "q q"]]:
    """mu and unit vectors of the pencil in the subspace."""
    try:
        mu, vectors = scipy.linalg.eigh(Syx.cpu().numpy(), difference.cpu().numpy())
    except scipy.linalg.LinAlgError as error:
        raise ValueError("Sxx - Syx must be positive definite: give the views noise of their own in every direction") from error
    inside = torch.from_numpy(vectors).to(Syx)
    return torch.from_numpy(mu).to(Syx), inside / inside.norm(dim=0)
