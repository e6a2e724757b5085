"""Features and linear maps of frozen encoders. Nothing here changes a weight or a mode."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import functional_call

from models import MLP, Encoder
from study.observers.views import Views

BLOCK, NUMBERS = 2048, 2**21  # samples encoded at once at most, and input numbers: a convolution keeps many for each


def encoded(encoder: Encoder, views: Views) -> Float[Tensor, "N n k"]:
    """The features of these views."""
    return torch.cat([extract(encoder, block)["features"] for block in views], 1)


@torch.inference_mode()
def extract(encoder: Encoder, x: Float[Tensor, "S n d"]) -> dict[str, Float[Tensor, "N n _"]]:
    """Every tap of the encoder, in eval mode and on its device, wherever the views are."""
    training, device = encoder.training, next(encoder.parameters()).device
    encoder.eval()
    few = max(1, min(BLOCK, NUMBERS // encoder.inputs))
    blocks = [encoder(part.to(device, encoder.dtype)) for part in x.split(few, dim=1)]
    encoder.train(training)
    return {tap: torch.cat([block[tap] for block in blocks], 1) for tap in encoder.taps}


def matrix(encoder: Encoder) -> Float[Tensor, "N k d"]:
    """The matrix of a linear encoder, in float64: what it makes of the identity."""
    assert encoder.linear
    eye = torch.eye(encoder.inputs, dtype=encoder.dtype, device=next(encoder.parameters()).device)
    return extract(encoder, eye[None])["features"].mT.double()


def best_linear(
    features: Float[Tensor, "N n k"], x: Float[Tensor, "S n d"], root: Float[Tensor, "S d d"]
) -> Float[Tensor, "N k d"]:
    """Least squares of centred features on inputs: E[(f - Ef) x^T] gram^{-1}, with root the Cholesky factor of gram =
    x^T x / n of the same x."""
    centred = features - features.mean(1, keepdim=True)
    cross = (x.mT @ centred / x.shape[1]).double()
    return torch.cholesky_solve(cross, root.expand(len(cross), -1, -1)).mT


def mean_jacobian(encoder: MLP, x: Float[Tensor, "S n d"]) -> Float[Tensor, "N k d"]:
    """E[df/dx] of a nonlinear encoder: the derivative of the mean feature with respect to a shift common to all samples,
    taken after the first layer's matrix, which every sample shares."""
    k = encoder.sizes[-1]
    with torch.inference_mode(False), torch.enable_grad():
        bias = encoder.biases[0].detach().clone().requires_grad_()
        mean = functional_call(encoder, {"biases.0": bias}, (x.clone().to(encoder.dtype),))["features"].mean(1)
        rows = torch.eye(k, dtype=mean.dtype, device=x.device)[:, None].expand(k, encoder.networks, k)
        by_bias = torch.autograd.grad(mean, bias, rows, is_grads_batched=True)[0]
    return (by_bias.squeeze(2).transpose(0, 1) @ encoder.layers[0].detach()).double()
