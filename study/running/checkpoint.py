"""Checkpoints of a run: one file, replaced atomically, that can be read alone."""

import os
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer


class Checkpoint(Callback):
    """Writes <folder>/last.ckpt after every `every` updates and after the last one.

    It holds what Lightning stores (weights, optimiser, target, loops, observers' tables) and the run's configuration.
    Lightning's ModelCheckpoint assumes one optimiser step per training step, which is not so here.
    """

    def __init__(self, folder: Path, config: dict[str, Any], every: int) -> None:
        self.path, self.config, self.every = Path(folder) / "last.ckpt", config, every

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: object) -> None:
        data = trainer.datamodule  # type: ignore[attr-defined]
        done, before = trainer.global_step * data.chunk, (trainer.global_step - 1) * data.chunk
        if done >= data.updates or done // self.every > before // self.every:
            partial = self.path.with_suffix(".partial")
            trainer.save_checkpoint(partial)
            os.replace(partial, self.path)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint["config"] = self.config
