"""The one LightningModule: encoder, predictor, objective. Trains N networks as one.

Shapes: N networks, S in {1, N} batches, B samples, d inputs, k features, m target dimension.
"""

import math
from collections.abc import Iterable
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from lightning import LightningModule
from torch import Tensor

from models import exact
from models.distributed import average
from models.encoder import Encoder
from models.objective import EMA, Objective
from models.optimizers import SGD, AdamW, StackedOptimizer
from models.per_network import per_network
from models.predictor import Matrix, Predictor
from models.schedule import Schedule, Shape


@runtime_checkable
class View(Protocol):
    """What data hand over as one side of a pair; known by this alone, as models know nothing of the data."""

    @property
    def values(self) -> Float[Tensor, "S B d"]: ...


class Learner(LightningModule):
    """Predict a target made from y out of the features of x; with a matrix V and the squared distance the loss is
    1/2 E || V f(x) - target(y) ||^2, summed over dimensions.

    Args:
        encoder: f, a stack of N networks.
        objective: StopGradient, EMA or Joint (JEPA), Pixels (MAE).
        lr: learning rate, one for all networks or one per network.
        optimizer: "sgd" or "adamw".
        momentum: of SGD.
        weight_decay: L2 for SGD, decoupled for AdamW; one for all networks or one per network.
        kappa: learning rate of the predictor over that of the encoder; one for all networks or one per network.
        schedule: "constant" rates, or "cosine", which falls to 0 at the end of the run.
        warmup: updates in which the rates rise linearly to their values.
        predictor: Perceptron, or Matrix, which none stands for.

    Raises:
        ValueError: rates that are not positive, or neither one nor as many as there are networks; an impossible schedule.
    """

    def __init__(
        self,
        encoder: Encoder,
        objective: Objective,
        lr: float | list[float] = 0.01,
        optimizer: Literal["sgd", "adamw"] = "sgd",
        momentum: float = 0.0,
        weight_decay: float | list[float] = 0.0,
        kappa: float | list[float] = 1.0,
        schedule: Shape = "constant",
        warmup: int = 0,
        predictor: Predictor | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must lie in [0, 1), found {momentum}")
        if optimizer not in ("sgd", "adamw"):
            raise ValueError(f"optimizer must be sgd or adamw, found {optimizer!r}")
        if optimizer == "adamw" and momentum:
            raise ValueError(f"momentum = {momentum} has no effect on adamw; leave it at 0")
        self.encoder, self.objective = encoder, objective
        self.predictor = Matrix() if predictor is None else predictor
        objective.attach(encoder)
        self.predictor.attach(encoder, objective.outputs(encoder), objective.latent)
        self.lr = per_network("lr", lr, encoder.networks)
        self.weight_decay = per_network("weight_decay", weight_decay, encoder.networks, zero=True)
        self.kappa = per_network("kappa", kappa, encoder.networks)
        self.optimizer, self.momentum = optimizer, momentum
        Schedule(schedule, warmup)  # is refused here if it is impossible in any run
        self.schedule, self.warmup = schedule, warmup

    def encoders(self) -> dict[str, Encoder]:
        """The encoders a probe can read: "online", and "target" where it is another one."""
        return {"online": self.encoder, **({"target": self.objective.encoder} if isinstance(self.objective, EMA) else {})}

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

    def loss(self, x: Float[Tensor, "S B d"], y: Float[Tensor, "S B d"], update: int = 0) -> Float[Tensor, "N"]:
        """Loss of each network in update number `update`: the mean over B pairs."""
        return self.objective(self.encoder, self.predictor, x, y, update)

    def trained(self) -> list[Tensor]:
        """The weights that training moves, those of the encoder first."""
        return [p for p in (*self.encoder.parameters(), *self.predictor.parameters()) if p.requires_grad]

    def training_step(self, batch: Iterable[dict[str, Tensor] | tuple[View, View]], batch_idx: int) -> None:
        """A chunk of updates as one step of Lightning's optimiser wrapper, which counts chunks."""
        counted = self.optimizers()
        optimizer = counted.optimizer  # type: ignore[union-attr]
        assert isinstance(optimizer, StackedOptimizer)
        counted.step(closure=lambda: self.advance(batch, optimizer))  # type: ignore[union-attr]

    def advance(self, batch: Iterable[dict[str, Tensor] | tuple[View, View]], optimizer: StackedOptimizer) -> None:
        """One update for each of the batch's data: views x, y [S, B, d], this process's share of them where there are several,
        or exact moments Sxx, Syx, Syy [S, d, d], the same in the whole chunk. Notes `losses` [N], those before the last update."""
        batches = iter(batch)
        for made in batches:
            if isinstance(made, dict):
                data = {name: value.to(self.encoder.dtype) for name, value in made.items()}
                updates = 1 + sum(1 for _ in batches)
                self.losses = exact.walk(self.encoder, self.predictor, self.objective, data, optimizer, updates)
                return
            optimizer.zero_grad(set_to_none=True)
            x, y = (view.values.to(self.encoder.dtype) for view in made)
            loss = self.loss(x, y, update=optimizer.updates)
            loss.sum().backward()
            self.losses = loss.detach()
            # Here and not by DDP's hooks: once per update, of which a Lightning step has many, and losses go along.
            average([self.losses, *(p.grad for p in self.trained() if p.grad is not None)])
            update = optimizer.updates
            optimizer.step()
            self.objective.follow(self.objective.carried(), list(self.encoder.parameters()), update)
        optimizer.zero_grad(set_to_none=True)

    def finite(self) -> Bool[Tensor, "N"]:
        """Whether all weights of each network, and their sum, are finite."""
        sums = [p.detach().flatten(1).sum(1) for p in self.trained()]  # one pass over the weights
        return torch.stack(sums).sum(0).isfinite()

    def configure_optimizers(self, updates: int | None = None) -> StackedOptimizer:
        """The optimiser of a run of so many updates, by default those of the trainer's data."""

        def each(values: list[float]) -> Float[Tensor, "N"]:
            return torch.tensor(values, dtype=self.encoder.dtype, device=self.device)

        groups = [{"params": self.trained(), "lr": each(self.lr)}]
        if any(kappa != 1 for kappa in self.kappa):
            groups = [
                {"params": [p for p in self.encoder.parameters() if p.requires_grad], "lr": each(self.lr)},
                {"params": list(self.predictor.parameters()), "lr": each(self.lr) * each(self.kappa)},
            ]
        decay = each(self.weight_decay) if any(self.weight_decay) else None
        if self.optimizer == "sgd":
            return SGD(groups, momentum=self.momentum, weight_decay=decay, schedule=self.rates(updates))
        return AdamW(groups, weight_decay=decay, schedule=self.rates(updates))
