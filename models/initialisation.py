"""Initial weights of N stacked networks, each a function of its own seed alone."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Init = Literal["balanced", "unbalanced", "normal"]
SPREAD = 2.0


def draw(seeds: list[int], layer: int, out: int, inputs: int) -> Float[Tensor, "N out inputs"]:
    """float64 standard normals; network n depends on seeds[n] and the layer's number only."""
    made = []
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed * 1009 + layer)
        made.append(torch.randn(out, inputs, generator=generator, dtype=torch.float64))
    return torch.stack(made)


def orthogonal(seeds: list[int], layer: int, out: int, inputs: int) -> Float[Tensor, "N out inputs"]:
    """Haar-distributed (semi-)orthogonal matrices: W W^T = I or W^T W = I, whichever side is shorter."""
    drawn = draw(seeds, layer, max(out, inputs), min(out, inputs))
    Q, R = torch.linalg.qr(drawn)
    Q = Q * R.diagonal(dim1=-2, dim2=-1).sign()[:, None]
    return Q if out >= inputs else Q.mT


def weights(seeds: list[int], sizes: list[int], eps: list[float], init: Init) -> list[Tensor]:
    """Layer weights W_1 ... W_L of scale eps^(1/L), one eps per network, so that their product has scale eps.

    "balanced": eps^(1/L) times orthogonal matrices (Littwin et al. 2024, section 2). "unbalanced": the same, but the
    first layer is SPREAD times as large, the last as much smaller, and those between in geometric progression. "normal":
    eps^(1/L) times independent normals of variance 1 / fan-in, the ordinary initialisation.
    """
    L = len(sizes) - 1
    scale = torch.tensor(eps, dtype=torch.float64)[:, None, None] ** (1 / L)
    pairs = enumerate(zip(sizes[1:], sizes, strict=False))
    if init == "normal":
        return [scale * draw(seeds, layer, out, inputs) / inputs**0.5 for layer, (out, inputs) in pairs]
    spread = SPREAD ** torch.linspace(1, -1, L, dtype=torch.float64) if init == "unbalanced" and L > 1 else torch.ones(L)
    return [spread[layer] * scale * orthogonal(seeds, layer, out, inputs) for layer, (out, inputs) in pairs]


def head(layers: list[Tensor], seeds: list[int], latent: bool, eps: list[float], init: Init) -> Float[Tensor, "N outputs k"]:
    """Initial head V(0) for an encoder with the given layers.

    eps^(1/L) I where the target is latent, eps^(1/L) (U_L ... U_1)^T where it is the input, so that in a "balanced"
    network every mode starts with all its singular values equal. "normal": like one more layer.
    """
    L, k = len(layers), layers[-1].shape[1]
    outputs = k if latent else layers[0].shape[2]
    scales = torch.tensor(eps, dtype=torch.float64)[:, None, None]
    scale = scales ** (1 / L)
    if init == "normal":
        return scale * draw(seeds, L, outputs, k) / k**0.5
    if latent:
        return scale * torch.eye(k, dtype=torch.float64)
    product = layers[0]
    for layer in layers[1:]:
        product = layer @ product
    return product.mT * scale / scales


def noise(seeds: list[int], sizes: list[int], eps: list[float]) -> Float[Tensor, "N out inputs"]:
    """Independent normals of the scale of a balanced first layer, eps^(1/L), that no other weight depends on."""
    L = len(sizes) - 1
    return torch.tensor(eps, dtype=torch.float64)[:, None, None] ** (1 / L) * draw(seeds, L + 1, sizes[1], sizes[0])
