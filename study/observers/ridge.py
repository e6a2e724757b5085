"""Ridge regression in closed form, so there is no learning rate to argue about."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

STRENGTHS = tuple(10.0**e for e in range(-5, 3))  # ridge penalty per sample, on standardised features
PART = 2**24  # numbers of a part of the standardised features


@dataclass(frozen=True)
class Ridge:
    """A fitted probe per network: (features - mean) @ weights + bias, and take the largest."""

    mean: Float[Tensor, "N 1 k"]
    weights: Float[Tensor, "N k C"]  # for features in their own units
    bias: Float[Tensor, "C"]
    strength: Float[Tensor, "N"]
    validation: Float[Tensor, "N"]

    def correct(self, features: Float[Tensor, "N n k"], labels: Int[Tensor, "n"]) -> Bool[Tensor, "N n"]:
        """Of which samples the label has the largest output."""
        return ((features - self.mean) @ self.weights + self.bias).argmax(-1) == labels

    def accuracy(self, features: Float[Tensor, "N n k"], labels: Int[Tensor, "n"]) -> Float[Tensor, "N"]:
        """Share of samples, in [0, 1], whose label has the largest output."""
        return self.correct(features, labels).double().mean(-1)


def fit(
    features: Float[Tensor, "N n k"],
    labels: Int[Tensor, "n"],
    validation: Float[Tensor, "N m k"],
    validation_labels: Int[Tensor, "m"],
    classes: int,
) -> Ridge:
    """Regress one-hot labels on standardised features; the strength is the one best on the validation split (the
    strongest of equals). Features without variance get no weight.

    With X the standardised features and Y the centred targets, the weights are (X^T X / n + s)^{-1} X^T Y / n, which is
    X^T (X X^T / n + s)^{-1} Y / n: the dual, solved where there are fewer samples than features. Gram matrices are summed in
    the features' own precision, the smaller of the two problems is solved in float64. X is made a part at a time in the dual, where it
    can be larger than all else together.
    """
    n, k = features.shape[1:]
    dual = n < k
    parts = [slice(first, first + max(1, PART // n)) for first in range(0, k, max(1, PART // n))] if dual else [slice(k)]
    mean = features.mean(1, keepdim=True)
    std = torch.cat([(features[..., p] - mean[..., p]).double().square().mean(1, keepdim=True) for p in parts], -1).sqrt()
    std = torch.where(std > 1e-7 * std.amax(-1, keepdim=True).clamp(min=1e-30), std, torch.inf).to(features)

    def standard(part: slice) -> Float[Tensor, "N n _"]:
        return (features[..., part] - mean[..., part]) / std[..., part]

    targets = torch.nn.functional.one_hot(labels, classes).to(features)
    bias = targets.mean(0)
    if dual:
        gram, right = sum((X @ X.mT for X in map(standard, parts)), torch.zeros(())), targets - bias
    else:
        X = standard(parts[0])
        gram, right = X.mT @ X, X.mT @ (targets - bias)
    strengths = torch.tensor(sorted(STRENGTHS, reverse=True), dtype=torch.float64, device=features.device)
    solved = _solved((gram / n).double(), (right / n).double(), strengths)
    if dual:
        solved = torch.cat([torch.einsum("Nnk,sNnC->sNkC", standard(p).double(), solved) for p in parts], 2)
    candidates = solved.to(features) / std.mT
    # All strengths in one product: the samples, which are large, are read once.
    outputs = (validation - mean) @ candidates.permute(1, 2, 0, 3).flatten(2)
    predicted = (outputs.unflatten(-1, (-1, classes)) + bias).argmax(-1)
    scores = (predicted == validation_labels[:, None]).double().mean(1).T
    best = scores.argmax(0)
    return Ridge(mean, candidates[best, torch.arange(len(best), device=best.device)], bias, strengths[best], scores.amax(0))


def _solved(
    gram: Float[Tensor, "M m m"], right: Float[Tensor, "*N m C"], strengths: Float[Tensor, "s"]
) -> Float[Tensor, "s M m C"]:
    """(gram + s)^{-1} right for every strength; by Cholesky, as eigenvectors of eight thousand samples take minutes and more memory.
    Zeros, which are no better than chance, where s is lost in the rounding of a gram of float32 products, and no matrix is positive."""
    found = []
    for strength in strengths:
        regular = gram.clone()
        regular.diagonal(dim1=1, dim2=2).add_(strength)
        root, failed = torch.linalg.cholesky_ex(regular)
        solved = torch.cholesky_solve(right.expand(len(gram), -1, -1), root)
        found.append(torch.where(failed[:, None, None] == 0, solved, 0.0))
    return torch.stack(found)
