"""What is predicted. JEPA and MAE differ in nothing else."""

import abc
import copy

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.encoders import Encoder


class Target(nn.Module, abc.ABC):
    """Turns the view y into what the head must predict from the features of x. No gradient flows through it."""

    latent: bool  # features of an encoder (m = k) or the input (m = d)

    def attach(self, encoder: Encoder) -> None:
        """Called once with the initial encoder."""

    @abc.abstractmethod
    def forward(self, encoder: Encoder, y: Float[Tensor, "S B d"]) -> Float[Tensor, "_ B m"]: ...

    def carried(self) -> list[Tensor]:
        """Weights of the target's own, in the order of the encoder's."""
        return []

    @abc.abstractmethod
    def matrix(self, carried: list[Tensor], product: Float[Tensor, "N k d"]) -> Float[Tensor, "_ m d"]:
        """The target as a matrix acting on y, for linear encoders whose own matrices are `product`; `carried` holds the
        same networks."""

    def follow(self, carried: list[Tensor], weights: list[Tensor]) -> None:
        """Called with the encoder's weights after every optimiser step."""


class StopGradient(Target):
    """JEPA: sg(f(y)), the same encoder without gradient (Littwin et al. 2024, L_JEPA)."""

    latent = True

    def forward(self, encoder: Encoder, y: Float[Tensor, "S B d"]) -> Float[Tensor, "N B k"]:
        with torch.no_grad():
            return encoder(y)["features"]

    def matrix(self, carried: list[Tensor], product: Float[Tensor, "N k d"]) -> Float[Tensor, "N k d"]:
        return product


class EMA(Target):
    """JEPA with a teacher: the exponential moving average of the encoder's weights.

    Args:
        decay: weight of the old average at each update, in [0, 1); 0 is the stop-gradient target.

    Raises:
        ValueError: decay outside [0, 1).
    """

    latent = True

    def __init__(self, decay: float = 0.996) -> None:
        super().__init__()
        if not 0 <= decay < 1:
            raise ValueError(f"decay must lie in [0, 1), found {decay}")
        self.decay = decay

    def attach(self, encoder: Encoder) -> None:
        self.encoder = copy.deepcopy(encoder).requires_grad_(False)

    def forward(self, encoder: Encoder, y: Float[Tensor, "S B d"]) -> Float[Tensor, "N B k"]:
        with torch.no_grad():
            return self.encoder(y)["features"]

    def carried(self) -> list[Tensor]:
        return list(self.encoder.parameters())

    def matrix(self, carried: list[Tensor], product: Float[Tensor, "N k d"]) -> Float[Tensor, "N k d"]:
        average = carried[0]
        for layer in carried[1:]:
            average = layer @ average
        return average

    @torch.no_grad()
    def follow(self, carried: list[Tensor], weights: list[Tensor]) -> None:
        for average, weight in zip(carried, weights, strict=True):
            average.lerp_(weight, 1 - self.decay)


class Pixels(Target):
    """MAE: the input y itself (Littwin et al. 2024, L_MAE)."""

    latent = False

    def forward(self, encoder: Encoder, y: Float[Tensor, "S B d"]) -> Float[Tensor, "S B d"]:
        return y

    def matrix(self, carried: list[Tensor], product: Float[Tensor, "N k d"]) -> Float[Tensor, "1 d d"]:
        return torch.eye(product.shape[-1], dtype=product.dtype, device=product.device)[None]
