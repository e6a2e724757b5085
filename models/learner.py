"""The one LightningModule: encoder, head, target, loss. Trains N networks as one.

Shapes: N networks, S in {1, N} batches, B samples, d inputs, k features, m target dimension.
"""

from collections.abc import Iterable
from typing import Literal

import torch
from jaxtyping import Bool, Float
from lightning import LightningModule
from torch import Tensor, nn

from models import initialisation, population
from models.encoders import Encoder
from models.optimizers import SGD, AdamW, StackedOptimizer
from models.per_network import per_network
from models.targets import EMA, Target


class Learner(LightningModule):
    """Predict a target made from y out of the features of x: 1/2 E || V f(x) - target(y) ||^2, summed over dimensions.

    Args:
        encoder: f, a stack of N networks.
        target: StopGradient or EMA (JEPA), Pixels (MAE).
        lr: learning rate, one for all networks or one per network.
        optimizer: "sgd" or "adamw".
        momentum: of SGD.
        weight_decay: L2 for SGD, decoupled for AdamW.

    Raises:
        ValueError: rates that are not positive, or as many as there are networks.
    """

    def __init__(
        self,
        encoder: Encoder,
        target: Target,
        lr: float | list[float] = 0.01,
        optimizer: Literal["sgd", "adamw"] = "sgd",
        momentum: float = 0.0,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        rates = per_network("lr", lr, encoder.networks)
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must lie in [0, 1), found {momentum}")
        if not 0 <= weight_decay < float("inf"):
            raise ValueError(f"weight_decay must be finite and not negative, found {weight_decay}")
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
        self.lr, self.optimizer, self.momentum, self.weight_decay = rates, optimizer, momentum, weight_decay

    def encoders(self) -> dict[str, Encoder]:
        """The encoders a probe can read: "online", and "target" where it is another one."""
        return {"online": self.encoder, **({"target": self.target.encoder} if isinstance(self.target, EMA) else {})}

    def time(self, updates: int) -> Float[Tensor, "N"]:
        """Gradient-flow time t = lr x updates (over 1 - momentum: heavy ball moves that much faster)."""
        return torch.tensor(self.lr, dtype=torch.float64) * updates / (1 - self.momentum)

    def loss(self, x: Float[Tensor, "S B d"], y: Float[Tensor, "S B d"]) -> Float[Tensor, "N"]:
        """Loss of each network: the mean over B pairs."""
        prediction = self.encoder(x)["features"] @ self.head.mT
        return (prediction - self.target(self.encoder, y)).square().sum(-1).mean(-1) / 2

    def backward_on(self, data: dict[str, Tensor]) -> Float[Tensor, "N"]:
        """Set the gradients and return the loss of each network, on pairs {x, y} or on exact moments {Sxx, Syx, Syy}."""
        data = self._cast(data)
        if "Sxx" in data:
            return population.backward(self.encoder, self.head, self.target, data)
        loss = self.loss(**data)
        loss.sum().backward()
        return loss.detach()

    def _cast(self, data: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: value.to(self.encoder.dtype) for name, value in data.items()}

    def training_step(self, batch: Iterable[dict[str, Tensor]], batch_idx: int) -> None:
        """A chunk of updates. Only the last goes through Lightning's optimiser wrapper, which counts the chunk."""
        counted = self.optimizers()
        optimizer = counted.optimizer  # type: ignore[union-attr]
        assert isinstance(optimizer, StackedOptimizer)
        self.losses = self.advance(batch, optimizer, last=counted)  # read by callbacks once per chunk

    def advance(self, batch: Iterable[dict[str, Tensor]], optimizer: StackedOptimizer, last) -> Float[Tensor, "chunk N"]:
        """One update for each of the batch's data, the last one by the optimiser `last`; the losses before each."""
        losses: list[Tensor] = []
        batches = iter(batch)
        data = next(batches)
        if "Sxx" in data:  # the same in every update of a chunk
            updates = 1 + sum(1 for _ in batches)
            if updates > 1:
                losses.append(self._update(optimizer, data)[None])
                losses.append(population.walk(self.encoder, self.head, self.target, self._cast(data), optimizer, updates - 2))
        for following in batches:
            losses.append(self._update(optimizer, data)[None])
            data = following
        losses.append(self._update(last, data)[None])
        return torch.cat(losses)

    def _update(self, optimizer, data: dict[str, Tensor]) -> Float[Tensor, "N"]:
        optimizer.zero_grad(set_to_none=True)
        loss = self.backward_on(data)
        optimizer.step()
        self.target.follow(self.target.carried(), list(self.encoder.parameters()))
        return loss

    def finite(self) -> Bool[Tensor, "N"]:
        """Whether all weights of each network are finite."""
        return torch.stack([p.detach().flatten(1).isfinite().all(1) for p in self.encoder.parameters()]).all(0)

    def configure_optimizers(self) -> StackedOptimizer:
        parameters = [*self.encoder.parameters(), self.head]
        lr = torch.tensor(self.lr, dtype=self.encoder.dtype, device=self.device)
        if self.optimizer == "sgd":
            return SGD(parameters, lr, self.momentum, self.weight_decay)
        return AdamW(parameters, lr, weight_decay=self.weight_decay)
