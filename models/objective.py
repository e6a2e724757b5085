"""What is predicted, and how far off a prediction is. JEPA and MAE differ in nothing else.

A regularizer against collapse is added to the loss: of the features where the target carries no gradient, of both embeddings where
both views do.
"""

import abc
import copy
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from models.encoder import Encoder
from models.predictor import Predictor
from models.regularizer import Regularizer

Distance = Literal["squared", "smooth_l1"]


class Objective(nn.Module, abc.ABC):
    """Makes of the view y what the predictor must predict from the features of x.

    Args:
        distance: "squared", 1/2 |p - t|^2 summed over dimensions, or "smooth_l1", which is that up to 1 and |p - t| - 1/2 beyond.
        normalized: layer-norm the target over its dimensions, as I-JEPA does (Assran et al. 2023).
        regularizer: a term against collapse, or none.
    """

    latent: bool  # the target is made of features (m = k), or is the input (m = d)

    def __init__(
        self, distance: Distance = "squared", normalized: bool = False, regularizer: Regularizer | None = None
    ) -> None:
        super().__init__()
        self.distance, self.normalized, self.regularizer = distance, normalized, regularizer

    def attach(self, encoder: Encoder) -> None:
        """Called once with the initial encoder."""

    def outputs(self, encoder: Encoder) -> int:
        """Dimension m of what is predicted."""
        return encoder.features if self.latent else encoder.inputs

    @abc.abstractmethod
    def target(self, encoder: Encoder, predictor: Predictor, y: Float[Tensor, "S B d"]) -> Float[Tensor, "_ B m"]:
        """What is to be predicted of y; no gradient flows through it, unless the objective says so."""

    def forward(
        self, encoder: Encoder, predictor: Predictor, x: Float[Tensor, "S B d"], y: Float[Tensor, "S B d"], update: int = 0
    ) -> Float[Tensor, "N"]:
        """Loss of each network in update number `update`: the mean over B pairs."""
        features = encoder(x)["features"]
        target = self.target(encoder, predictor, y)
        if self.normalized:
            target = functional.layer_norm(target, target.shape[-1:])
        loss = self.distances(predictor(features), target)
        return loss if self.regularizer is None else loss + self.regularizer(features, update)

    def distances(self, prediction: Float[Tensor, "N B m"], target: Float[Tensor, "_ B m"]) -> Float[Tensor, "N"]:
        """The distance of each network."""
        if self.distance == "squared":
            return (prediction - target).square().sum(-1).mean(-1) / 2
        each = functional.smooth_l1_loss(prediction, target.expand_as(prediction), reduction="none")
        return each.sum(-1).mean(-1)

    @property
    def exact(self) -> bool:
        """Whether `matrix` is all there is to it for deep linear networks."""
        return (
            type(self).matrix is not Objective.matrix
            and self.distance == "squared"
            and not self.normalized
            and self.regularizer is None
        )

    def matrix(self, carried: list[Tensor], product: Float[Tensor, "N k d"]) -> Float[Tensor, "_ m d"]:
        """The target as a matrix acting on y, for linear encoders whose own matrices are `product`; `carried` holds the
        same networks.

        Raises:
            ValueError: it is none.
        """
        raise ValueError(f"{type(self).__name__} cannot be trained on exact moments; give the data a batch size")

    def carried(self) -> list[Tensor]:
        """Weights of the target's own, in the order of the encoder's."""
        return []

    def follow(self, carried: list[Tensor], weights: list[Tensor], update: int) -> None:
        """Called with the encoder's weights after the optimiser's step number `update`, from 0 on."""


class StopGradient(Objective):
    """JEPA: sg(f(y)), the same encoder without gradient (Littwin et al. 2024, L_JEPA)."""

    latent = True

    def target(self, encoder: Encoder, predictor: Predictor, y: Float[Tensor, "S B d"]) -> Float[Tensor, "N B k"]:
        with torch.no_grad():
            return encoder(y)["features"]

    def matrix(self, carried: list[Tensor], product: Float[Tensor, "N k d"]) -> Float[Tensor, "N k d"]:
        return product


class EMA(Objective):
    """JEPA with a teacher: the exponential moving average of the encoder's weights.

    Args:
        decay: weight of the old average at each update, in [0, 1); 0 is the stop-gradient target.
        last: decay to which it goes linearly in the first `over` updates (I-JEPA: 0.996 to 1 over the run), or none: it stays.
        over: how many these are.
        distance: as of every objective.
        normalized: as of every objective.
        regularizer: as of every objective.

    Raises:
        ValueError: decay outside [0, 1), last outside [0, 1], or one of last and over without the other.
    """

    latent = True

    def __init__(
        self,
        decay: float = 0.996,
        last: float | None = None,
        over: int | None = None,
        distance: Distance = "squared",
        normalized: bool = False,
        regularizer: Regularizer | None = None,
    ) -> None:
        super().__init__(distance, normalized, regularizer)
        if not 0 <= decay < 1:
            raise ValueError(f"decay must lie in [0, 1), found {decay}")
        if last is not None and not 0 <= last <= 1:
            raise ValueError(f"last must lie in [0, 1], found {last}")
        if (last is None) != (over is None) or (over is not None and over < 1):
            raise ValueError(f"last and over, at least 1 update, belong together, found {last} and {over}")
        self.decay, self.last, self.over = decay, decay if last is None else last, over or 1

    def attach(self, encoder: Encoder) -> None:
        self.encoder = copy.deepcopy(encoder).requires_grad_(False)

    def target(self, encoder: Encoder, predictor: Predictor, y: Float[Tensor, "S B d"]) -> Float[Tensor, "N B k"]:
        with torch.no_grad():
            return self.encoder(y)["features"]

    def matrix(self, carried: list[Tensor], product: Float[Tensor, "N k d"]) -> Float[Tensor, "N k d"]:
        average = carried[0]
        for layer in carried[1:]:
            average = layer @ average
        return average

    def carried(self) -> list[Tensor]:
        return list(self.encoder.parameters())

    @torch.no_grad()
    def follow(self, carried: list[Tensor], weights: list[Tensor], update: int) -> None:
        decay = self.decay + (self.last - self.decay) * min(update / self.over, 1)
        for average, weight in zip(carried, weights, strict=True):
            average.lerp_(weight, 1 - decay)


class Pixels(Objective):
    """MAE: the input y itself (Littwin et al. 2024, L_MAE)."""

    latent = False

    def target(self, encoder: Encoder, predictor: Predictor, y: Float[Tensor, "S B d"]) -> Float[Tensor, "S B d"]:
        return y

    def matrix(self, carried: list[Tensor], product: Float[Tensor, "N k d"]) -> Float[Tensor, "1 d d"]:
        return torch.eye(product.shape[-1], dtype=product.dtype, device=product.device)[None]


class Joint(Objective):
    """JEPA with both views alike: embeddings z = g(f(x)), z' = g(f(y)), both with gradient, near each other and regularised, with
    the predictor g as their projector. loss = invariance |z - z'|^2 / m + regularizer(z) + regularizer(z').

    With VarianceCovariance it is VICReg (Bardes et al. 2022), with SIGReg LeJEPA (Balestriero and LeCun 2025).

    Args:
        regularizer: the term against collapse, which this needs.
        invariance: weight of the distance of the embeddings.
        embedding: their dimension m, by default that of the features.

    Raises:
        ValueError: an invariance that is not positive, or an embedding below 1.
    """

    latent = True

    def __init__(self, regularizer: Regularizer, invariance: float = 25.0, embedding: int | None = None) -> None:
        super().__init__(regularizer=regularizer)
        if not 0 < invariance < float("inf"):
            raise ValueError(f"invariance must be finite and positive, found {invariance}")
        if embedding is not None and embedding < 1:
            raise ValueError(f"embedding must be at least 1, found {embedding}")
        self.invariance, self.embedding = invariance, embedding

    def outputs(self, encoder: Encoder) -> int:
        return encoder.features if self.embedding is None else self.embedding

    def target(self, encoder: Encoder, predictor: Predictor, y: Float[Tensor, "S B d"]) -> Float[Tensor, "N B m"]:
        return predictor(encoder(y)["features"])

    def forward(
        self, encoder: Encoder, predictor: Predictor, x: Float[Tensor, "S B d"], y: Float[Tensor, "S B d"], update: int = 0
    ) -> Float[Tensor, "N"]:
        assert self.regularizer is not None
        z, other = predictor(encoder(x)["features"]), self.target(encoder, predictor, y)
        invariance = self.invariance * (z - other).square().mean((-2, -1))
        return invariance + self.regularizer(z, update) + self.regularizer(other, update)
