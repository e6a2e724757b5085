"""The ordinary way to train with Lightning: one module, one optimiser of torch, one run per network."""

import time
from collections.abc import Iterable

import torch
from lightning import Callback, LightningDataModule, LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from study.bench.problem import Problem, loss

SHOWN = 2  # networks of a stack that are trained in one timing


class Clock(Callback):
    """Seconds from the start of the first batch to the end of the last one, so that start-up is not counted."""

    def on_train_batch_start(self, trainer: Trainer, module: LightningModule, batch: object, batch_idx: int) -> None:
        if batch_idx == 0:
            self.start = time.perf_counter()

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        self.seconds = time.perf_counter() - self.start


def fit(module: LightningModule, data: Iterable | LightningDataModule, device: str) -> float:
    """Seconds of one epoch without logger, checkpoints and progress bar."""
    clock = Clock()
    trainer = Trainer(
        accelerator=device, devices=1, callbacks=[clock], logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, max_epochs=1,
    )  # fmt: skip
    trainer.fit(module, data)
    return clock.seconds


class Network(LightningModule):
    """One deep linear network, trained by automatic optimisation."""

    def __init__(self, weights: list[Tensor], moments: tuple[Tensor, Tensor, Tensor], lr: float) -> None:
        super().__init__()
        self.matrices, self.moments, self.lr = nn.ParameterList(w.clone() for w in weights), moments, lr

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return loss(list(self.matrices), self.moments)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), self.lr)


class PerNetwork:
    """A run of Lightning for each of the first `shown` networks, one after the other."""

    def __init__(self, problem: Problem, shown: int) -> None:
        self.device = problem.device
        self.networks = [Network([w[n] for w in problem.first], problem.moments, problem.lr) for n in range(shown)]

    def __call__(self, steps: int) -> float:
        counter: DataLoader = DataLoader(range(steps), batch_size=None)  # type: ignore[arg-type]
        return sum(fit(network, counter, self.device) for network in self.networks)

    @property
    def weights(self) -> list[Tensor]:
        return [torch.stack(parts).detach() for parts in zip(*(n.matrices for n in self.networks), strict=True)]
