"""SGD and AdamW with one learning rate and weight decay per network, on a schedule: torch's own take one for all."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from models.schedule import CONSTANT, Schedule

Step = Callable[[int, int, Tensor, Tensor | None], None]


def _rates(
    group: dict, p: Float[Tensor, "n ..."], block: slice = slice(None)
) -> tuple[Float[Tensor, "n ..."], Float[Tensor, "n ..."] | None]:
    """lr and lr times weight decay of a block of networks, to be multiplied with p, the weights of that block."""
    lr, decay = (v if v is None else v[block].view(-1, *[1] * (p.ndim - 1)) for v in (group["lr"], group["weight_decay"]))
    assert lr is not None
    return lr, None if decay is None else lr * decay


class StackedOptimizer(torch.optim.Optimizer):
    """Base of optimisers over parameters [N, ...] with, per group, learning rates lr [N] and weight decays [N] or None.

    All rates are multiplied by the schedule's factor of the update. Updates are counted in the groups, which go with the
    state into a checkpoint.
    """

    def __init__(self, parameters, lr: Tensor | None, weight_decay: Tensor | None, schedule: Schedule, **defaults: Any) -> None:
        self.schedule = schedule
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay, "updates": 0, **defaults})

    @property
    def updates(self) -> int:
        """Updates made so far."""
        return self.param_groups[0]["updates"]

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Rates of a checkpoint, which is read into this machine's memory, go to where the weights are."""
        super().load_state_dict(state_dict)
        for group in self.param_groups:
            for name in ("lr", "weight_decay"):
                if group[name] is not None:
                    group[name] = group[name].to(group["params"][0])

    def count(self, updates: int) -> None:
        """Note updates that were made."""
        for group in self.param_groups:
            group["updates"] += updates

    @torch.no_grad()
    def step(self, closure=None):
        """One update of every parameter that has a gradient, after what `closure` does; where none has, no update is counted."""
        if closure is not None:
            with torch.enable_grad():
                closure()
        moving = [(p, group) for group in self.param_groups for p in group["params"] if p.grad is not None]
        for p, group in moving:
            self.update(self.updates, p, p.grad, None, *_rates(group, p), self.prepared(p, group), group)
        if moving:
            self.count(1)

    def on(self, parameters: list[Tensor], block: slice) -> tuple[Tensor | None, Step]:
        """Steps of a block of networks, on views of their weights and state: a factor [n, 1, 1] that gradients must carry
        where there is one, and `step(u, i, left, right)` for update number u of weight number i with the gradient left @ right,
        or left alone."""
        group_of = {p: group for group in self.param_groups for p in group["params"]}
        first = group_of[parameters[0]]
        parts = []
        for p in parameters:
            view, group = p.detach()[block], group_of[p]
            state = {name: v[block] for name, v in self.prepared(p, group).items()}
            parts.append((view, *_rates(group, view, block), state, group))
        common = self.common(parts[0][1])

        def step(number: int, i: int, left: Tensor, right: Tensor | None) -> None:
            view, lr, shrink, state, group = parts[i]
            rate = lr if common is None else None if group is first else lr / common
            self.update(number, view, left, right, rate, shrink, state, group)

        return common, step

    def common(self, lr: Tensor) -> Tensor | None:
        """The factor that gradients of a block must carry."""
        return None

    def constant(self, parameters: list[Tensor]) -> tuple[Float[Tensor, "N M"], Float[Tensor, "N M"]] | None:
        """(rate, keep) where every update is p <- keep p - rate g, for each network and parameter; none for other rules."""
        return None

    def prepared(self, p: Tensor, group: dict) -> dict[str, Tensor]:
        """The state of a parameter, made at its first step."""
        return self.state[p]

    def update(
        self,
        number: int,
        p: Tensor,
        left: Tensor,
        right: Tensor | None,
        rate: Tensor | None,
        shrink: Tensor | None,
        state: dict,
        group: dict,
    ) -> None:
        """Update number `number` of p given its gradient left @ right (or left), which lacks the factor `rate`; shrink is lr
        times weight decay."""
        raise TypeError("StackedOptimizer is a base class; use SGD or AdamW")


class SGD(StackedOptimizer):
    """p <- p - factor m, m <- momentum m + lr (g + weight_decay p): torch.optim.SGD with the learning rate, but not the
    schedule's factor, taken into m.

    As lr is a factor of everything, gradients can carry it, and a product of factors is added to the weights directly.
    """

    def __init__(
        self,
        parameters,
        lr: Tensor | None = None,
        momentum: float = 0.0,
        weight_decay: Tensor | None = None,
        schedule: Schedule = CONSTANT,
    ) -> None:
        super().__init__(parameters, lr, weight_decay, schedule, momentum=momentum)

    def common(self, lr: Tensor) -> Tensor | None:
        return lr

    def constant(self, parameters: list[Tensor]) -> tuple[Float[Tensor, "N M"], Float[Tensor, "N M"]] | None:
        group_of = {p: group for group in self.param_groups for p in group["params"]}
        groups = [group_of[p] for p in parameters]
        if not self.schedule.constant or any(group["momentum"] for group in groups):
            return None
        rate = torch.stack([group["lr"] for group in groups], 1)
        decay = [torch.zeros_like(group["lr"]) if group["weight_decay"] is None else group["weight_decay"] for group in groups]
        return rate, 1 - rate * torch.stack(decay, 1)

    def prepared(self, p: Tensor, group: dict) -> dict[str, Tensor]:
        if group["momentum"] and not self.state[p]:
            self.state[p]["momentum"] = torch.zeros_like(p)
        return self.state[p]

    def update(
        self,
        number: int,
        p: Tensor,
        left: Tensor,
        right: Tensor | None,
        rate: Tensor | None,
        shrink: Tensor | None,
        state: dict,
        group: dict,
    ) -> None:
        factor, left = self.schedule.factor(number), left if rate is None else left * rate
        if group["momentum"]:
            m = state["momentum"].mul_(group["momentum"])
            if shrink is not None:
                m.addcmul_(p, shrink)
            p.sub_(m.add_(left) if right is None else m.baddbmm_(left, right), alpha=factor)
            return
        if shrink is not None:
            p.mul_(1 - factor * shrink)
        if right is None:
            p.sub_(left, alpha=factor)
        else:
            p.baddbmm_(left, right, alpha=-factor)


class AdamW(StackedOptimizer):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019), as torch.optim.AdamW; Adam without weight decay."""

    def __init__(
        self,
        parameters,
        lr: Tensor | None = None,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: Tensor | None = None,
        schedule: Schedule = CONSTANT,
    ) -> None:
        super().__init__(parameters, lr, weight_decay, schedule, betas=betas, eps=eps)

    def prepared(self, p: Tensor, group: dict) -> dict[str, Tensor]:
        if not self.state[p]:
            self.state[p].update(mean=torch.zeros_like(p), square=torch.zeros_like(p))
        return self.state[p]

    def update(
        self,
        number: int,
        p: Tensor,
        left: Tensor,
        right: Tensor | None,
        rate: Tensor | None,
        shrink: Tensor | None,
        state: dict,
        group: dict,
    ) -> None:
        assert rate is not None
        g = left if right is None else left @ right
        factor = self.schedule.factor(number)
        beta1, beta2 = group["betas"]
        bias1, bias2 = (1 - beta ** (number + 1) for beta in group["betas"])
        state["mean"].lerp_(g, 1 - beta1)
        state["square"].mul_(beta2).addcmul_(g, g, value=1 - beta2)
        root = (state["square"] / bias2).sqrt_().add_(group["eps"])
        if shrink is not None:
            p.mul_(1 - factor * shrink)
        p.sub_(rate * (factor / bias1) * state["mean"] / root)
