"""Ridge regression against references that solve it another way."""

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from study.observers import ridge
from study.observers.ridge import fit

SIZES = pytest.mark.parametrize(("n", "k"), [(12, 30), (30, 30), (70, 30)], ids=["n < k", "n = k", "n > k"])
STRENGTH = pytest.mark.parametrize("strength", [1e-5, 0.1])


@pytest.fixture
def problem(n, k):
    """Features of two networks, of different sizes, and labels of three classes, with a validation split."""
    g = torch.Generator().manual_seed(n)
    scales = torch.logspace(-2, 2, k, dtype=torch.float64)
    features, validation = (torch.randn(2, m, k, dtype=torch.float64, generator=g) * scales + 3 for m in (n, 50))
    return features, torch.arange(n) % 3, validation, torch.arange(50) % 3, 3


@SIZES
@STRENGTH
def test_weights_are_those_of_numpy(problem, strength, monkeypatch):
    monkeypatch.setattr(ridge, "STRENGTHS", (strength,))
    features, labels, *_ = problem
    found = fit(*problem)
    for X, weights in zip(features.numpy(), found.weights.numpy(), strict=True):
        n, k = X.shape
        standard, Y = (X - X.mean(0)) / X.std(0), np.eye(3)[labels]
        expected = np.linalg.solve(standard.T @ standard / n + strength * np.eye(k), standard.T @ (Y - Y.mean(0)) / n)
        np.testing.assert_allclose(weights * X.std(0)[:, None], expected, rtol=1e-9, atol=1e-9)


@SIZES
@STRENGTH
def test_the_dual_and_the_primal_are_equal(problem, n, k, strength, monkeypatch):
    """Features without variance make the dual of every problem, and samples that are repeated the primal."""
    monkeypatch.setattr(ridge, "STRENGTHS", (strength,))
    features, labels, validation, validation_labels, classes = problem
    wide, wide_validation = (torch.nn.functional.pad(x, (0, n), value=2) for x in (features, validation))
    dual = fit(wide, labels, wide_validation, validation_labels, classes)
    primal = fit(features.repeat(1, k, 1), labels.repeat(k), validation, validation_labels, classes)
    size = features.std(1, correction=0)[..., None]
    torch.testing.assert_close(dual.weights[:, :k] * size, primal.weights * size, rtol=1e-9, atol=1e-9)
    assert not dual.weights[:, k:].any()
    assert torch.equal(dual.validation, primal.validation)


@SIZES
def test_a_stack_of_networks_is_each_of_them(problem):
    features, labels, validation, *rest = problem
    stack = fit(*problem)
    for i in range(2):
        alone = fit(features[i : i + 1], labels, validation[i : i + 1], *rest)
        torch.testing.assert_close(stack.weights[i : i + 1], alone.weights, rtol=1e-10, atol=1e-10)
        assert stack.strength[i] == alone.strength[0] and stack.validation[i] == alone.validation[0]


class AtMost(TorchDispatchMode):
    """No tensor has more elements."""

    def __init__(self, elements):
        super().__init__()
        self.elements = elements

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, tuple) else (made,):
            assert not isinstance(tensor, torch.Tensor) or tensor.numel() <= self.elements, (func, tensor.shape)
        return made


def test_twenty_thousand_features_of_a_hundred_samples_need_no_matrix_of_features_by_features():
    n, k = 100, 20_000
    features = torch.randn(1, n, k, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(n) % 5
    with AtMost(n * k):
        fit(features, labels, features, labels, 5)


def test_strengths_below_the_rounding_of_the_gram_matrix_are_left_out():
    """The mean direction of 60 samples has eigenvalue 0, and in float32 one below -1e-5: the gram matrix's entries are of size 6,700."""
    generator, n, k = torch.Generator().manual_seed(0), 60, 400_000
    labels = torch.arange(n) % 2
    features = torch.randn(1, n, k, generator=generator)
    found = fit(features, labels, features, labels, 2)
    assert found.weights.isfinite().all() and found.validation == 1
    again = fit(features.double(), labels, features.double(), labels, 2)
    torch.testing.assert_close(found.weights.double(), again.weights, rtol=1e-3, atol=1e-9)


def test_ridge_equals_the_augmented_least_squares():
    """Ridge is least squares with sqrt(n s) I appended; fitted network by network."""
    g = torch.Generator().manual_seed(0)
    F = torch.randn(2, 300, 6, dtype=torch.float64, generator=g) * torch.logspace(-3, 3, 6, dtype=torch.float64) + 5
    labels = (F[0, :, 0] > 5).long()
    ridge = fit(F[:, :200], labels[:200], F[:, 200:], labels[200:], 2)
    for n in range(2):
        train = F[n, :200]
        standard = (train - train.mean(0)) / train.std(0, unbiased=False)
        targets = torch.nn.functional.one_hot(labels[:200], 2).double()
        rows = (200 * ridge.strength[n]).sqrt() * torch.eye(6, dtype=torch.float64)
        w = torch.linalg.lstsq(torch.cat([standard, rows]), torch.cat([targets - targets.mean(0), torch.zeros(6, 2)])).solution
        torch.testing.assert_close(ridge.weights[n], w / train.std(0, unbiased=False)[:, None], rtol=1e-8, atol=1e-10)
    assert float(ridge.accuracy(F[:, 200:], labels[200:])[0]) == float(ridge.validation[0]) > 0.8


def test_probe_of_collapsed_features_is_chance_not_an_error():
    labels = torch.arange(100) % 4
    for k in (3, 200):
        ridge = fit(torch.ones(1, 100, k), labels, torch.ones(1, 100, k), labels, 4)
        assert float(ridge.validation) == 0.25


@pytest.mark.parametrize(("n", "d"), [(60, 9), (20, 50)])
def test_principal_components_are_right_singular_vectors(n, d):
    """Against the singular value decomposition, primal and dual; other splits along the same directions."""
    from study.observers.principal import principal

    x = torch.randn(2, n + 5, d, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * torch.arange(1, d + 1)
    samples = {"train": x[:, :n], "test": x[:, n:]}
    found = principal(samples, 4)
    for s in range(2):
        mean = samples["train"][s].mean(0)
        right = torch.linalg.svd(samples["train"][s] - mean, full_matrices=False)[2][:4].mT
        for split, of in samples.items():
            expected = (of[s] - mean) @ right
            torch.testing.assert_close(found[split][s].abs(), expected.abs(), rtol=1e-8, atol=1e-8)
    assert principal(samples, 1000)["test"].shape == (2, 5, min(n, d))
