"""What makes a prediction of features: one matrix, or a multilayer perceptron, for each of N networks."""

import abc
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from models import initialisation
from models.encoder import Encoder
from models.networks.mlp import MLP


class Predictor(nn.Module, abc.ABC):
    """Base of predictors; axis 0 of every parameter is the network."""

    @abc.abstractmethod
    def attach(self, encoder: Encoder, outputs: int, latent: bool) -> None:
        """Make the initial weights, for features of this encoder and so many outputs, which are features of an encoder
        (`latent`) or the input."""

    @abc.abstractmethod
    def forward(self, features: Float[Tensor, "N B k"]) -> Float[Tensor, "N B m"]: ...


class Matrix(Predictor):
    """V, one matrix [m, k] per network. It starts as theory has it for deep linear networks and MLPs (models.initialisation.head);
    behind other encoders as the identity where the target is their features, and as independent normals of variance 1 / k else."""

    def attach(self, encoder: Encoder, outputs: int, latent: bool) -> None:
        alike = outputs == (encoder.features if latent else encoder.inputs)
        if alike and isinstance(encoder, MLP):
            layers = [w.detach().double() for w in encoder.layers]
            first = initialisation.head(layers, encoder.seeds, latent, encoder.eps, encoder.init)
        elif alike and latent:
            first = torch.eye(encoder.features, dtype=torch.float64).expand(encoder.networks, -1, -1)
        else:
            first = initialisation.draw(encoder.seeds, 0, outputs, encoder.features) / encoder.features**0.5
        self.weight = nn.Parameter(first.to(encoder.dtype).clone())

    def forward(self, features: Float[Tensor, "N B k"]) -> Float[Tensor, "N B m"]:
        return features @ self.weight.mT


class Perceptron(Predictor):
    """Layers W s(LN(h)) + b with ReLU s and layer normalisation between them (none after the last), and independent normal weights
    of variance 2 / fan-in.

    Args:
        hidden: widths of the hidden layers.

    Raises:
        ValueError: a width below 1.
    """

    def __init__(self, hidden: list[int] = [512]) -> None:  # noqa: B006 - as of encoders
        super().__init__()
        if min([*hidden, 1]) < 1:
            raise ValueError(f"every layer needs at least one unit, found hidden {hidden}")
        self.hidden = list(hidden)

    def attach(self, encoder: Encoder, outputs: int, latent: bool) -> None:
        sizes = [encoder.features, *self.hidden, outputs]
        self.layers = nn.ParameterList(
            (initialisation.draw(encoder.seeds, 100 + i, b, a) * (2 / a) ** 0.5).to(encoder.dtype)
            for i, (a, b) in enumerate(pairwise(sizes))
        )
        self.biases = nn.ParameterList(torch.zeros(encoder.networks, 1, b, dtype=encoder.dtype) for b in sizes[1:])

    def forward(self, features: Float[Tensor, "N B k"]) -> Float[Tensor, "N B m"]:
        for i, (weight, bias) in enumerate(zip(self.layers, self.biases, strict=True)):
            if i:
                features = functional.relu(functional.layer_norm(features, features.shape[-1:]))
            features = features @ weight.mT + bias
        return features
