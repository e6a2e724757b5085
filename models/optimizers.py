"""SGD and AdamW with one learning rate per network: torch's own take one rate for all."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


def _each(values: Float[Tensor, "N"], like: Float[Tensor, "N ..."]) -> Float[Tensor, "N ..."]:
    return values.to(like).view(-1, *[1] * (like.ndim - 1))


class StackedOptimizer(torch.optim.Optimizer):
    """Base of optimisers over parameters [N, ...] with learning rates lr [N]."""

    def __init__(self, parameters, lr: Float[Tensor, "N"], **defaults: Any) -> None:
        super().__init__(parameters, {"lr": lr, **defaults})

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self.update(p, p.grad, _each(group["lr"], p), self.state[p], group)
        return loss

    def on(self, parameters: list[Tensor], block: slice) -> Callable[[list[Tensor]], None]:
        """One step of a block of networks, as a function of their gradients, on views of weights and state."""
        (group,) = self.param_groups
        views = [p.detach()[block] for p in parameters]
        rates = [_each(group["lr"][block], view) for view in views]
        states = [{name: v[block] if isinstance(v, Tensor) else v for name, v in self.state[p].items()} for p in parameters]

        def step(gradients: list[Tensor]) -> None:
            for view, g, lr, state in zip(views, gradients, rates, states, strict=True):
                self.update(view, g, lr, state, group)

        return step

    def count(self, parameters: list[Tensor], steps: int) -> None:
        """Note steps that were made block by block."""

    def update(self, p: Tensor, g: Tensor, lr: Tensor, state: dict, group: dict) -> None:
        raise TypeError("StackedOptimizer is a base class; use SGD or AdamW")


class SGD(StackedOptimizer):
    """p <- p - lr m, m <- momentum m + g + weight_decay p, as torch.optim.SGD."""

    def __init__(self, parameters, lr: Tensor, momentum: float = 0.0, weight_decay: float = 0.0) -> None:
        super().__init__(parameters, lr, momentum=momentum, weight_decay=weight_decay)

    def update(self, p: Tensor, g: Tensor, lr: Tensor, state: dict, group: dict) -> None:
        if group["weight_decay"]:
            g = g.add(p, alpha=group["weight_decay"])
        if group["momentum"]:
            g = state["momentum"].mul_(group["momentum"]).add_(g) if state else state.setdefault("momentum", g.clone())
        p.addcmul_(g, lr, value=-1)


class AdamW(StackedOptimizer):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019), as torch.optim.AdamW; Adam at weight_decay 0."""

    def __init__(
        self, parameters, lr: Tensor, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0.0
    ) -> None:
        super().__init__(parameters, lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def count(self, parameters: list[Tensor], steps: int) -> None:
        for p in parameters:
            self.state[p]["step"] += steps

    def update(self, p: Tensor, g: Tensor, lr: Tensor, state: dict, group: dict) -> None:
        if not state:
            state.update(step=0, mean=torch.zeros_like(p), square=torch.zeros_like(p))
        state["step"] += 1
        beta1, beta2 = group["betas"]
        state["mean"].lerp_(g, 1 - beta1)
        state["square"].mul_(beta2).addcmul_(g, g, value=1 - beta2)
        root = (state["square"] / (1 - beta2 ** state["step"])).sqrt_().add_(group["eps"])
        if group["weight_decay"]:
            p.mul_(1 - lr * group["weight_decay"])
        p.sub_(lr / (1 - beta1 ** state["step"]) * state["mean"] / root)
