"""Deep linear networks and multilayer perceptrons, N as one by batched products."""

from collections.abc import Callable
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.encoder import Encoder, Precision
from models.initialisation import Init, weights
from models.per_network import per_network

Activation = Literal["linear", "relu", "gelu", "tanh"]
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": nn.functional.relu,
    "gelu": nn.functional.gelu,
    "tanh": torch.tanh,
}


class MLP(Encoder):
    """f(x) = W_L s(... s(W_1 x + b_1) ...) + b_L for N networks; a deep linear network has no s and no b.

    Args:
        inputs: input dimension d.
        hidden: widths of the hidden layers; depth L = len(hidden) + 1. Non-linear encoders have one to three.
        features: dimension k of the features, at most `inputs`.
        activation: "linear" or the nonlinearity s.
        eps: scale of the initial product of weights, one for all networks or one per network; layers start at eps^(1/L).
        init: "balanced" (orthogonal, Littwin et al. 2024), "unbalanced" (layers of different scale) or "normal" (ordinary).
        seeds: one initialisation seed per network; their number is N.
        dtype: "float32" or "float64".

    Raises:
        ValueError: impossible sizes or scale.
    """

    def __init__(
        self,
        inputs: int,
        hidden: list[int],
        features: int,
        activation: Activation = "linear",
        eps: float | list[float] = 0.01,
        init: Init = "balanced",
        seeds: list[int] = [0],  # noqa: B006 - LightningCLI shows the default; it is never changed
        dtype: Precision = "float32",
    ) -> None:
        super().__init__(inputs, features, seeds, dtype)
        self.sizes = [inputs, *hidden, features]
        if min(self.sizes) < 1:
            raise ValueError(f"every layer needs at least one unit, found widths {self.sizes}")
        if features > inputs:
            raise ValueError(f"features must be at most the {inputs} inputs, found {features}")
        if activation not in get_args(Activation):
            raise ValueError(f"activation must be one of {', '.join(get_args(Activation))}, found {activation!r}")
        if activation != "linear" and not 1 <= len(hidden) <= 3:
            raise ValueError(f"a {activation} encoder has one to three hidden layers, found {len(hidden)}")
        scales = per_network("eps", eps, len(seeds))
        self.activation, self.eps, self.init = activation, scales, init
        self.layers = nn.ParameterList(w.to(self.dtype) for w in weights(self.seeds, self.sizes, scales, init))
        self.biases = nn.ParameterList(
            torch.zeros(len(seeds), 1, width, dtype=self.dtype) for width in self.sizes[1:] if not self.linear
        )

    @property
    def linear(self) -> bool:  # type: ignore[override]
        return self.activation == "linear"

    @property
    def depth(self) -> int:
        return len(self.layers)

    @property
    def taps(self) -> list[str]:
        return [*(f"hidden{i}" for i in range(1, self.depth)), "features"]

    def forward(self, x: Float[Tensor, "S B d"]) -> dict[str, Float[Tensor, "N B _"]]:
        out = {}
        for i, (name, weight) in enumerate(zip(self.taps, self.layers, strict=True)):
            x = x @ weight.mT
            if not self.linear:
                x = x + self.biases[i]
                if name != "features":
                    x = ACTIVATIONS[self.activation](x)
            out[name] = x
        return out
