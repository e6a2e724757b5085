"""The forecast's three computations against scikit-learn's: principal components, canonical correlations, and a ridge probe."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from datamodules import GaussianPairs
from study.bench.base import Method, Row, Run, measure, repeated
from study.forecast.end_state import Whitened
from study.forecast.moments import Blocks
from study.observers.principal import principal
from study.observers.ridge import STRENGTHS, fit

SIZE = (20_000, 256, 8)  # pairs, inputs d and features k
CLASSES = 10


@dataclass(frozen=True)
class Task:
    """n pairs of d inputs with planted features, and labels that are read off the first of them."""

    n: int
    d: int
    k: int

    @cached_property
    def pairs(self) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n d"]]:
        """Both ways round, so that canonical correlations are those of the symmetric moments; their mean is 0."""
        x, y = (views[0].float() for views in self.planted.sample(0, self.n // 2))
        mean = torch.cat([x, y]).mean(0)
        return torch.cat([x, y]) - mean, torch.cat([y, x]) - mean

    @cached_property
    def planted(self) -> GaussianPairs:
        draw = np.random.default_rng(0)
        lam = draw.uniform(0.5, 2.0, self.d)
        # Far from each other: where not, scikit-learn's iteration takes minutes.
        rho = np.maximum(0.95 * 0.85 ** np.arange(self.d), 0.02)
        return GaussianPairs(lam.tolist(), rho.tolist(), batch=self.n)

    @cached_property
    def labels(self) -> Int[Tensor, "n"]:
        return (self.pairs[0][:, 0].argsort().argsort() * CLASSES) // self.n


def principal_here(task: Task) -> NDArray:
    """Projections on the k directions of highest variance."""
    return principal({"train": task.pairs[0][None]}, task.k)["train"][0].numpy()


def principal_there(task: Task) -> NDArray:
    from sklearn.decomposition import PCA

    return PCA(task.k, svd_solver="covariance_eigh").fit_transform(task.pairs[0].numpy())


def correlations_here(task: Task) -> NDArray:
    """The k highest rho, which are canonical correlations where moments are symmetric."""
    return Whitened(Blocks.of_pairs(*task.pairs).moments()).jepa(task.k, 1).features.rho.numpy()


def correlations_there(task: Task) -> NDArray:
    from sklearn.cross_decomposition import CCA

    x, y = (views.double().numpy() for views in task.pairs)
    found = CCA(task.k, scale=False, max_iter=20_000, tol=1e-10).fit(x, y)
    a, b = found.transform(x, y)
    return np.array([np.corrcoef(a[:, i], b[:, i])[0, 1] for i in range(task.k)])


def probe_here(task: Task) -> NDArray:
    """Validation accuracy of the best of all strengths, which is fitted on the first half and chosen on the other."""
    x, half = task.pairs[0], task.n // 2
    return fit(x[None, :half], task.labels[:half], x[None, half:], task.labels[half:], CLASSES).validation.numpy()


def probe_there(task: Task) -> NDArray:
    from sklearn.linear_model import RidgeClassifier
    from sklearn.preprocessing import StandardScaler

    x, half, labels = task.pairs[0].numpy(), task.n // 2, task.labels.numpy()
    scaler = StandardScaler().fit(x[:half])
    train, validation = scaler.transform(x[:half]), scaler.transform(x[half:])
    fitted = [RidgeClassifier(alpha=s * half, solver="cholesky").fit(train, labels[:half]) for s in STRENGTHS]
    return np.array([max(ridge.score(validation, labels[half:]) for ridge in fitted)])


WORK = {
    "principal components": (principal_here, principal_there),
    "canonical correlations": (correlations_here, correlations_there),
    "ridge probe": (probe_here, probe_there),
}


def rows(device: str, size: tuple[int, int, int] = SIZE) -> list[Row]:
    """Both on the CPU, in turns. Canonical correlations are found there one after the other, by iteration."""
    task = Task(*size)
    _ = task.pairs, task.labels
    made = []
    for name, (here, there) in WORK.items():
        methods = [
            Method("here", partial(repeated, partial(here, task))),
            Method("scikit-learn", partial(installed, partial(there, task))),
        ]
        made += measure("spectrum", f"{name}, n = {task.n:,}, d = {task.d}, k = {task.k}", methods, "1/s", "cpu")
    return made


def installed(work: Callable[[], NDArray]) -> Run:
    """Steps of scikit-learn's.

    Raises:
        ModuleNotFoundError: it is not there.
    """
    import sklearn  # noqa: F401

    return repeated(work)
