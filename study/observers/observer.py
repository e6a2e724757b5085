"""What observers share: when they measure, and that they leave training untouched."""

import abc

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from datamodules import Pairs
from models import Learner
from study.observers.table import table_of


class Observer(Callback, abc.ABC):
    """Measures at update 0, after every `every` updates, and after the last one; never changes a weight.

    Args:
        every: updates between measurements, >= 1; measured at the end of the chunk in which it falls due.

    Raises:
        ValueError: every below 1.
    """

    def __init__(self, every: int = 1000) -> None:
        if every < 1:
            raise ValueError(f"every must be at least 1 update, found {every}")
        self.every = every

    @abc.abstractmethod
    def measure(self, learner: Learner, data: Pairs, last: bool) -> dict[str, Tensor]:
        """Metric name -> one value per network [N], and after update 0 always the same ones, with more where `last` is true,
        which is once, when training has ended."""

    def check(self, learner: Learner, data: Pairs) -> None:
        """Asked before a training starts. Raises ValueError: this cannot be measured on them."""

    def prepare(self, learner: Learner, data: Pairs) -> dict[str, Tensor]:
        """Set up what measuring needs, at the start and after a resume; returns constants, recorded at update 0."""
        return {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        data = trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(pl_module, Learner)
        self.check(pl_module, data)
        constants = self.prepare(pl_module, data)
        if trainer.global_step == 0:
            self._record(trainer, pl_module, 0, constants)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: object) -> None:
        data = trainer.datamodule  # type: ignore[attr-defined]
        if self.due(trainer.global_step, data):
            assert isinstance(pl_module, Learner)
            self._record(trainer, pl_module, min(trainer.global_step * data.chunk, data.updates), {})

    def due(self, chunk: int, data: Pairs) -> bool:
        """Whether it measures at the end of chunk number `chunk`, from 1 on."""
        done, before = min(chunk * data.chunk, data.updates), (chunk - 1) * data.chunk
        return done == data.updates or done // self.every > before // self.every

    def _record(self, trainer: Trainer, learner: Learner, done: int, constants: dict[str, Tensor]) -> None:
        data = trainer.datamodule  # type: ignore[attr-defined]
        with torch.no_grad():
            metrics = self.measure(learner, data, last=done == data.updates)
        table = table_of(trainer)
        table.record(trainer, done, learner.time(done), constants, curve=False)
        table.record(trainer, done, learner.time(done), metrics)
