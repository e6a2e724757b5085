"""Features and linear maps of frozen encoders. Nothing here changes a weight or a mode."""

import torch
from jaxtyping import Float
from torch import Tensor

from datamodules import Pairs
from models import Encoder

BLOCK = 2048  # samples encoded at once


def views(data: Pairs, split: str, count: int, device: torch.device) -> Float[Tensor, "S n d"]:
    """Fixed views x of the first `count` pairs of a split, for each data set."""
    return torch.stack([data.evaluation(split, s, 0, count, device)[0] for s in range(data.sets)])


@torch.inference_mode()
def extract(encoder: Encoder, x: Float[Tensor, "S n d"]) -> dict[str, Float[Tensor, "N n _"]]:
    """Every tap of the encoder, in eval mode."""
    training = encoder.training
    encoder.eval()
    blocks = [encoder(part.to(encoder.dtype)) for part in x.split(BLOCK, dim=1)]
    encoder.train(training)
    return {tap: torch.cat([block[tap] for block in blocks], 1) for tap in encoder.taps}


def matrix(encoder: Encoder) -> Float[Tensor, "N k d"]:
    """The matrix of a linear encoder, in float64: what it makes of the identity."""
    assert encoder.linear
    eye = torch.eye(encoder.sizes[0], dtype=encoder.dtype, device=encoder.layers[0].device)
    return extract(encoder, eye[None])["features"].mT.double()


def best_linear(
    features: Float[Tensor, "N n k"], x: Float[Tensor, "S n d"], gram: Float[Tensor, "S d d"]
) -> Float[Tensor, "N k d"]:
    """Least squares of centred features on inputs: E[(f - Ef) x^T] gram^{-1}, with gram = x^T x / n of the same x."""
    centred = features - features.mean(1, keepdim=True)
    cross = (x.mT @ centred / x.shape[1]).double()
    return torch.linalg.solve(gram, cross).mT


def mean_jacobian(encoder: Encoder, x: Float[Tensor, "S n d"]) -> Float[Tensor, "N k d"]:
    """E[df/dx]: the derivative of the mean feature with respect to a shift common to all samples."""
    N, k, d = encoder.networks, encoder.sizes[-1], encoder.sizes[0]
    with torch.inference_mode(False), torch.enable_grad():
        shift = torch.zeros(N, 1, d, dtype=encoder.dtype, device=x.device, requires_grad=True)
        mean = encoder(x.clone().to(encoder.dtype) + shift)["features"].mean(1)
        rows = torch.eye(k, dtype=mean.dtype, device=x.device)[:, None].expand(k, N, k)
        jacobian = torch.autograd.grad(mean, shift, rows, is_grads_batched=True)[0]
    return jacobian.squeeze(2).transpose(0, 1).double()
