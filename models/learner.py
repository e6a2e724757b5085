"""The one LightningModule: encoder, head, target, loss. Trains N networks as one.

Shapes: N networks, S in {1, N} batches, B samples, d inputs, k features, m target dimension.
"""

import math
from collections.abc import Iterable
from typing import Literal

import torch
from jaxtyping import Bool, Float
from lightning import LightningModule
from torch import Tensor, nn

from models import initialisation, population
from models.distributed import average
from models.encoders import Encoder
from models.optimizers import SGD, AdamW, StackedOptimizer
from models.per_network import per_network
from models.schedule import Schedule, Shape
from models.targets import EMA, Target


class Learner(LightningModule):
    """Predict a target made from y out of the features of x: 1/2 E || V f(x) - target(y) ||^2, summed over dimensions.

    Args:
        encoder: f, a stack of N networks.
        target: StopGradient or EMA (JEPA), Pixels (MAE).
        lr: learning rate, one for all networks or one per network.
        optimizer: "sgd" or "adamw".
        momentum: of SGD.
        weight_decay: L2 for SGD, decoupled for AdamW; one for all networks or one per network.
        kappa: learning rate of the head over that of the encoder; one for all networks or one per network.
        schedule: "constant" rates, or "cosine", which falls to 0 at the end of the run.
        warmup: updates in which the rates rise linearly to their values.

    Raises:
        ValueError: rates that are not positive, or neither one nor as many as there are networks; an impossible schedule.
    """

    def __init__(
        self,
        encoder: Encoder,
        target: Target,
        lr: float | list[float] = 0.01,
        optimizer: Literal["sgd", "adamw"] = "sgd",
        momentum: float = 0.0,
        weight_decay: float | list[float] = 0.0,
        kappa: float | list[float] = 1.0,
        schedule: Shape = "constant",
        warmup: int = 0,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must lie in [0, 1), found {momentum}")
        if optimizer not in ("sgd", "adamw"):
            raise ValueError(f"optimizer must be sgd or adamw, found {optimizer!r}")
        if optimizer == "adamw" and momentum:
            raise ValueError(f"momentum = {momentum} has no effect on adamw; leave it at 0")
        self.encoder, self.target = encoder, target
        target.attach(encoder)
        first = initialisation.head(
            [w.detach().double() for w in encoder.layers], encoder.seeds, target.latent, encoder.eps, encoder.init
        )
        self.head = nn.Parameter(first.to(encoder.dtype))
        self.lr = per_network("lr", lr, encoder.networks)
        self.weight_decay = per_network("weight_decay", weight_decay, encoder.networks, zero=True)
        self.kappa = per_network("kappa", kappa, encoder.networks)
        self.optimizer, self.momentum = optimizer, momentum
        Schedule(schedule, warmup)  # is refused here if it is impossible in any run
        self.schedule, self.warmup = schedule, warmup

    def encoders(self) -> dict[str, Encoder]:
        """The encoders a probe can read: "online", and "target" where it is another one."""
        return {"online": self.encoder, **({"target": self.target.encoder} if isinstance(self.target, EMA) else {})}

    def time(self, updates: int, of: int | None = None) -> Float[Tensor, "N"]:
        """Gradient-flow time, the sum of the learning rates of so many updates, in a run of `of`, by default the trainer's (over
        1 - momentum: heavy ball moves that much faster)."""
        return torch.tensor(self.lr, dtype=torch.float64) * self.rates(of).total(updates) / (1 - self.momentum)

    def rates(self, updates: int | None = None) -> Schedule:
        """The schedule of a run of so many updates, by default those of the trainer's data, which a cosine needs.

        Raises:
            ValueError: the warm-up is longer than the run.
        """
        if updates is None and self.schedule == "cosine":
            updates = self.trainer.datamodule.updates  # type: ignore[attr-defined]
        return Schedule(self.schedule, self.warmup, math.inf if updates is None else updates)

    def loss(self, x: Float[Tensor, "S B d"], y: Float[Tensor, "S B d"]) -> Float[Tensor, "N"]:
        """Loss of each network: the mean over B pairs."""
        prediction = self.encoder(x)["features"] @ self.head.mT
        return (prediction - self.target(self.encoder, y)).square().sum(-1).mean(-1) / 2

    def training_step(self, batch: Iterable[dict[str, Tensor]], batch_idx: int) -> None:
        """A chunk of updates as one step of Lightning's optimiser wrapper, which counts chunks."""
        counted = self.optimizers()
        optimizer = counted.optimizer  # type: ignore[union-attr]
        assert isinstance(optimizer, StackedOptimizer)
        counted.step(closure=lambda: self.advance(batch, optimizer))  # type: ignore[union-attr]

    def advance(self, batch: Iterable[dict[str, Tensor]], optimizer: StackedOptimizer) -> None:
        """One update for each of the batch's data: pairs x, y [S, B, d], this process's share of them where there are several,
        or exact moments Sxx, Syx, Syy [S, d, d], the same in the whole chunk. Notes `losses` [N], those before the last update."""
        batches = iter(batch)
        for made in batches:
            data = {name: value.to(self.encoder.dtype) for name, value in made.items()}
            if "Sxx" in data:
                updates = 1 + sum(1 for _ in batches)
                self.losses = population.walk(self.encoder, self.head, self.target, data, optimizer, updates)
                return
            optimizer.zero_grad(set_to_none=True)
            loss = self.loss(**data)
            loss.sum().backward()
            self.losses = loss.detach()
            # Here and not by DDP's hooks: once per update, of which a Lightning step has many, and losses go along.
            average([self.losses, *(p.grad for p in (*self.encoder.parameters(), self.head) if p.grad is not None)])
            optimizer.step()
            self.target.follow(self.target.carried(), list(self.encoder.parameters()))
        optimizer.zero_grad(set_to_none=True)

    def finite(self) -> Bool[Tensor, "N"]:
        """Whether all weights of each network, and their sum, are finite."""
        sums = [p.detach().flatten(1).sum(1) for p in (*self.encoder.parameters(), self.head)]  # one pass over the weights
        return torch.stack(sums).sum(0).isfinite()

    def configure_optimizers(self, updates: int | None = None) -> StackedOptimizer:
        """The optimiser of a run of so many updates, by default those of the trainer's data."""

        def each(values: list[float]) -> Float[Tensor, "N"]:
            return torch.tensor(values, dtype=self.encoder.dtype, device=self.device)

        groups = [{"params": [*self.encoder.parameters(), self.head], "lr": each(self.lr)}]
        if any(kappa != 1 for kappa in self.kappa):
            groups = [
                {"params": list(self.encoder.parameters()), "lr": each(self.lr)},
                {"params": [self.head], "lr": each(self.lr) * each(self.kappa)},
            ]
        decay = each(self.weight_decay) if any(self.weight_decay) else None
        if self.optimizer == "sgd":
            return SGD(groups, momentum=self.momentum, weight_decay=decay, schedule=self.rates(updates))
        return AdamW(groups, weight_decay=decay, schedule=self.rates(updates))
