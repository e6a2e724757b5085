"""The right-hand side and its Jacobian, in float64, against autograd."""

import itertools

import pytest
import torch

from datamodules import GaussianPairs
from models import EMA, MLP, Learner, Pixels, StopGradient
from models.gradient_flow import GradientFlow, square
from models.optimizers import SGD


def random_flow(depth, latent, teacher, N=3, d=4, k=3, hidden=5, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    sizes = [d, *[hidden] * (depth - 1), k]
    D = max(sizes)
    layers = [draw(N, out, inputs) for inputs, out in itertools.pairwise(sizes)]
    head = draw(N, k if latent else d, k)
    Sxx, Syx = (square([draw(N, d, d)], D)[:, 0] for _ in range(2))
    flow = GradientFlow(depth, latent, Sxx, Syx, *(draw(N, 1, 1) for _ in range(2)), draw(N, 1, 1) if teacher else None)
    y = flow.pack(layers, head)
    return flow, y + 0.1 * draw(*y.shape) * (y != 0)  # a teacher apart from the encoder; the padding stays zero


CASES = [(L, latent, teacher) for L in (1, 2, 3, 5) for latent, teacher in ((True, False), (True, True), (False, False))]


@pytest.mark.parametrize(("depth", "latent", "teacher"), CASES)
def test_jacobian_is_that_of_forward_mode_differentiation(depth, latent, teacher):
    flow, y = random_flow(depth, latent, teacher)
    basis = torch.eye(y.shape[1], dtype=y.dtype)
    columns = torch.func.vmap(lambda e: torch.func.jvp(flow.velocity, (y,), (e.expand_as(y),))[1])(basis)
    torch.testing.assert_close(flow.jacobian(y), columns.permute(1, 2, 0), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(("depth", "latent", "teacher"), CASES)
def test_rate_of_the_product(depth, latent, teacher):
    flow, y = random_flow(depth, latent, teacher)
    expected = torch.func.jvp(flow.product, (y,), (flow.velocity(y),))[1]
    torch.testing.assert_close(flow.product_rate(y), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("depth", "latent", "teacher"), CASES)
def test_padding_stays_zero(depth, latent, teacher):
    flow, y = random_flow(depth, latent, teacher)
    assert (y == 0).any()
    assert (flow.velocity(y)[y == 0] == 0).all()


@pytest.mark.parametrize("target", [StopGradient, Pixels, EMA])
@pytest.mark.parametrize("hidden", [[], [4], [6, 5]])
def test_velocity_is_minus_the_learners_gradient(target, hidden):
    data = GaussianPairs([[1.0, 0.8, 0.5, 0.2], [0.9, 0.7, 0.4, 0.3]], [[0.9, 0.4, 0.7, 0.6]] * 2, basis="rotated")
    data.setup()
    learner = Learner(MLP(4, hidden, 3, eps=[0.1, 0.3], init="normal", seeds=[0, 1], dtype="float64"), target())
    weights = [*learner.encoder.layers, learner.predictor.weight]
    before = [w.detach().clone() for w in weights]
    D = max(learner.encoder.sizes)
    moments = [square([torch.stack([getattr(m, name) for m in data.moments()])], D)[:, 0] for name in ("Sxx", "Syx")]
    one, tau = torch.ones(2, 1, 1, dtype=torch.float64), None
    if target is EMA:
        tau = one
    flow = GradientFlow(len(hidden) + 1, target is not Pixels, *moments, one, 0 * one, tau)
    y = flow.pack([w.detach() for w in learner.encoder.layers], learner.predictor.weight.detach())
    learner.advance([data.pairs(0, torch.device("cpu"))], SGD(weights, torch.ones(2, dtype=torch.float64)))
    gradients = square([w - after.detach() for w, after in zip(before, weights, strict=True)], D).flatten(1)
    torch.testing.assert_close(flow.velocity(y)[:, : gradients.shape[1]], -gradients, rtol=1e-12, atol=1e-14)
    kappa = GradientFlow(len(hidden) + 1, flow.latent, *moments, 3 * one, 0.1 * one, tau).velocity(y)
    L, size = len(hidden) + 1, D * D
    faster = -(gradients + 0.1 * y[:, : gradients.shape[1]])
    faster[:, L * size :] *= 3
    torch.testing.assert_close(kappa[:, : gradients.shape[1]], faster, rtol=1e-12, atol=1e-14)
