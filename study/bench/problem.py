"""The training that every method of `stacks` and `trainer` does: N deep linear networks, JEPA, exact moments, SGD, float32."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from datamodules import GaussianPairs
from models import MLP, Learner, StopGradient


@dataclass(frozen=True)
class Problem:
    """N networks of depth L on d features."""

    networks: int
    d: int
    depth: int
    device: str = "cpu"
    lr: float = 0.05
    eps: float = 0.1

    @property
    def case(self) -> str:
        return f"N={self.networks} d={self.d} L={self.depth}"

    @property
    def flop(self) -> float:
        """Of one update of one network: 3 L + 2 products of d x d matrices. L - 1 for Wbar, 2 (L - 1) for the layers'
        gradients, 5 for V Wbar, the two terms of R, V^T R and R Wbar^T. No update needs the loss."""
        return (3 * self.depth + 2) * 2.0 * self.d**3

    @property
    def bytes(self) -> float:
        """Of one update of one network: every weight read and written once."""
        return 2.0 * 4 * (self.depth + 1) * self.d**2

    def data(self, updates: int = 1000) -> GaussianPairs:
        """Features with lambda from 0.5 to 1.5 and rho from 0.9 to 0.3, on a rotated basis."""
        lam, rho = torch.linspace(0.5, 1.5, self.d), torch.linspace(0.9, 0.3, self.d)
        data = GaussianPairs(lam.tolist(), rho.tolist(), basis="rotated", updates=updates)
        data.setup()
        return data

    def learner(self) -> Learner:
        encoder = MLP(self.d, [self.d] * (self.depth - 1), self.d, eps=self.eps, seeds=list(range(self.networks)))
        return Learner(encoder, StopGradient(), self.lr).to(self.device)

    @cached_property
    def moments(self) -> tuple[Tensor, Tensor, Tensor]:
        """Sxx, Syx, Syy [d, d], float32."""
        made = self.data().pairs(0, torch.device(self.device))
        assert isinstance(made, dict)
        return made["Sxx"][0].float(), made["Syx"][0].float(), made["Syy"][0].float()

    @cached_property
    def first(self) -> list[Tensor]:
        """Initial layers [N, d, d], then the head; to be copied, not changed."""
        learner = self.learner()
        return [p.detach() for p in learner.trained()]


def loss(weights: list[Tensor], moments: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """The JEPA loss of one network on exact moments (theory, section 1), for autograd; the target is constant."""
    Sxx, Syx, Syy = moments
    product = weights[0]
    for layer in weights[1:-1]:
        product = layer @ product
    T, prediction = product.detach(), weights[-1] @ product
    return (prediction * (prediction @ Sxx / 2 - T @ Syx)).sum() + (T * (T @ Syy)).sum() / 2
