"""The same training by this project's stack, a loop over networks, and torch.func.

Each keeps `weights` (layers [N, d, d], then the head) and goes on from them at every call. Loops over networks train the
first `shown` of them: the others take as long, one after the other.
"""

import torch
from torch import Tensor
from torch.func import grad, vmap

from study.bench.problem import Problem, loss

SHOWN = 4  # networks of a stack that a loop trains in one timing


class Ours:
    """Learner and StackedOptimizer as Lightning drives them, without Lightning."""

    def __init__(self, problem: Problem) -> None:
        self.learner, self.data = problem.learner(), problem.data()
        self.optimizer = self.learner.configure_optimizers()
        self.device = torch.device(problem.device)

    def __call__(self, steps: int) -> None:
        batches = (self.data.pairs(update, self.device) for update in range(steps))
        self.learner.advance(batches, self.optimizer)

    @property
    def weights(self) -> list[Tensor]:
        return [p.detach() for p in self.learner.trained()]


class BareLoop:
    """Autograd and torch.optim.SGD, one network after the other."""

    def __init__(self, problem: Problem, shown: int) -> None:
        self.moments = problem.moments
        self.networks = [[w[n].clone().requires_grad_() for w in problem.first] for n in range(shown)]
        self.optimizers = [torch.optim.SGD(weights, problem.lr) for weights in self.networks]

    def __call__(self, steps: int) -> None:
        for weights, optimizer in zip(self.networks, self.optimizers, strict=True):
            for _ in range(steps):
                optimizer.zero_grad(set_to_none=True)
                loss(weights, self.moments).backward()
                optimizer.step()

    @property
    def weights(self) -> list[Tensor]:
        return [torch.stack(parts).detach() for parts in zip(*self.networks, strict=True)]


class Vmap:
    """torch.func.vmap(grad) over the networks, and one fused multiply-add for all weights."""

    def __init__(self, problem: Problem) -> None:
        self.moments, self.lr = problem.moments, problem.lr
        self.weights = [w.clone() for w in problem.first]
        self.gradients = vmap(grad(loss), in_dims=(0, None))

    @torch.no_grad()
    def __call__(self, steps: int) -> None:
        for _ in range(steps):
            torch._foreach_add_(self.weights, self.gradients(self.weights, self.moments), alpha=-self.lr)
