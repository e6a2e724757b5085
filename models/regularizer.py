"""Terms of a loss that keep embeddings from collapsing. They look at a whole batch, also where several processes share it."""

import abc
import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.distributed import gathered


class Regularizer(nn.Module, abc.ABC):
    """A term of the loss of each network, a function of a batch of its embeddings."""

    @abc.abstractmethod
    def forward(self, z: Float[Tensor, "N B m"], update: int) -> Float[Tensor, "N"]:
        """The term, in update number `update`."""


class VarianceCovariance(Regularizer):
    """Half of VICReg's hinge that holds every dimension's standard deviation at 1, and the squared covariances between dimensions
    (Bardes et al. 2022, eq. 1 to 4, and their code, which halves the first): per embedding

        variance / 2 mean_i max(0, 1 - sqrt(var_i + 1e-4)) + covariance / m sum_{i != j} cov_ij^2.

    Args:
        variance: weight of the first.
        covariance: weight of the second.

    Raises:
        ValueError: a weight that is negative.
    """

    EPS = 1e-4

    def __init__(self, variance: float = 25.0, covariance: float = 1.0) -> None:
        super().__init__()
        _check(variance=variance, covariance=covariance)
        self.variance, self.covariance = variance, covariance

    def forward(self, z: Float[Tensor, "N B m"], update: int) -> Float[Tensor, "N"]:
        z = gathered(z)
        z = z - z.mean(1, keepdim=True)
        covariance = z.mT @ z / (z.shape[1] - 1)
        diagonal = covariance.diagonal(dim1=1, dim2=2)
        hinge = torch.relu(1 - (diagonal + self.EPS).sqrt()).mean(-1)
        between = covariance.square().sum((1, 2)) - diagonal.square().sum(-1)
        return self.variance / 2 * hinge + self.covariance * between / z.shape[-1]


class SIGReg(Regularizer):
    """How far the embeddings are from an isotropic normal distribution: the statistic of Epps and Pulley, n times the integral of
    |E exp(i t s) - exp(-t^2 / 2)|^2 exp(-t^2 / 2) dt, by the trapezoid rule, mean over projections s on random directions that
    are drawn anew in every update (Balestriero and LeCun 2025, LeJEPA).

    Args:
        weight: of the term.
        directions: how many.
        knots: of the rule, from 0 to 3 (the integrand is even).

    Raises:
        ValueError: a weight that is negative, no direction, or fewer than two knots.
    """

    END = 3.0

    def __init__(self, weight: float = 1.0, directions: int = 256, knots: int = 17) -> None:
        super().__init__()
        _check(weight=weight)
        if directions < 1 or knots < 2:
            raise ValueError(f"directions must be at least 1 and knots at least 2, found {directions} and {knots}")
        self.weight, self.directions, self.knots = weight, directions, knots

    def forward(self, z: Float[Tensor, "N B m"], update: int) -> Float[Tensor, "N"]:
        z = gathered(z)
        generator = torch.Generator().manual_seed(update)
        drawn = torch.randn(z.shape[-1], self.directions, generator=generator, dtype=torch.float64)
        directions = (drawn / drawn.norm(dim=0)).to(z.dtype)
        # From pinned memory, as any other copy waits for all that the GPU still has to do.
        directions = directions.pin_memory().to(z.device, non_blocking=True) if z.is_cuda else directions.to(z.device)
        t = torch.linspace(0, self.END, self.knots, dtype=z.dtype, device=z.device)
        window = torch.exp(-t.square() / 2)
        weights = torch.full_like(t, 2 * self.END / (self.knots - 1))
        weights[0] /= 2
        weights[-1] /= 2
        angles = (z @ directions)[..., None] * t  # [N, B, directions, knots]
        error = (angles.cos().mean(1) - window).square() + angles.sin().mean(1).square()
        return self.weight * z.shape[1] * (error @ (weights * window)).mean(-1)


def _check(**weights: float) -> None:
    for name, value in weights.items():
        if not 0 <= value < math.inf:
            raise ValueError(f"{name} must be finite and not negative, found {value}")
