"""Exact population loss and gradient of deep linear networks from second moments (theory, section 1).

With Wbar = W_L ... W_1, target matrix T and R = V Wbar Sxx - T Syx:

    loss = 1/2 tr(V Wbar Sxx Wbar^T V^T) - tr(V Wbar Syx^T T^T) + 1/2 tr(T Syy T^T)
    grad_V = R Wbar^T,  grad_Wbar = V^T R,  grad_{W_i} = (W_L ... W_{i+1})^T grad_Wbar (W_{i-1} ... W_1)^T

Written out instead of left to autograd: several times faster for small matrices, and the same formula as on paper.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from models.encoders import Encoder
from models.targets import Target


@torch.no_grad()
def backward(encoder: Encoder, head: Tensor, target: Target, moments: dict[str, Tensor]) -> Float[Tensor, "N"]:
    """Set the gradients of all weights and return the loss of each network. `moments` holds Sxx, Syx, Syy [S, d, d].

    Raises:
        ValueError: the encoder is not linear, so that its loss is no function of second moments.
    """
    if not encoder.linear:
        raise ValueError(f"exact moments train linear encoders only, found {encoder.activation}; give the data a batch size")
    layers = list(encoder.layers)
    products = [layers[0].detach()]
    for layer in layers[1:]:
        products.append(layer @ products[-1])
    Wbar = products[-1]
    T = target.matrix(encoder, Wbar)
    VW, TSyx = head @ Wbar, T @ moments["Syx"]
    R = VW @ moments["Sxx"] - TSyx
    head.grad = R @ Wbar.mT
    G = head.mT @ R  # gradient with respect to W_i ... W_1, from i = L down
    for i in range(len(layers) - 1, 0, -1):
        layers[i].grad = G @ products[i - 1].mT
        G = layers[i].mT @ G
    layers[0].grad = G
    return ((VW * (R - TSyx)).sum((-2, -1)) + (T * (T @ moments["Syy"])).sum((-2, -1))) / 2
