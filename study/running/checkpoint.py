"""Checkpoints of a run: the last two, each written whole or not at all, and checked before it is read."""

import os
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer

from study.running.files import checksum, flush, naming
from study.running.lock import check_held
from study.terminal import say


class Checkpoint(Callback):
    """Writes <run>/checkpoints/last.ckpt after every `every` updates and after the last one; the one before becomes previous.ckpt.

    It holds what Lightning stores (weights, optimiser, target, loops, observers' tables), the run's name and configuration, and the
    numbers of threads it was made with. Lightning's ModelCheckpoint assumes one optimiser step per training step, which is not so here.

    Args:
        run: the run's folder, which this process has locked.
        config: the run's configuration.
        every: updates.
    """

    def __init__(self, run: Path, config: dict[str, Any], every: int) -> None:
        self.run, self.path, self.config, self.every = run, run / "checkpoints" / "last.ckpt", config, every
        self.threads, self.origin = {torch.get_num_threads()}, "trained"

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        first = trainer.strategy.broadcast(trainer.global_step)
        if trainer.global_step != first:
            raise ValueError(
                f"process {trainer.global_rank} of {trainer.world_size} found the checkpoint of step {trainer.global_step} in "
                f"{self.path.parent}, process 0 that of step {first}; wait until all machines see the same files, and start again"
            )

        if trainer.global_step:
            self.origin = f"resumed from update {trainer.global_step * trainer.datamodule.chunk}"  # type: ignore[attr-defined]

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: object) -> None:
        data = trainer.datamodule  # type: ignore[attr-defined]
        done, before = trainer.global_step * data.chunk, (trainer.global_step - 1) * data.chunk
        if done >= data.updates or done // self.every > before // self.every:
            self.save(trainer)

    def save(self, trainer: Trainer) -> None:
        partial = self.path.with_suffix(".partial")
        with naming(self.path):
            try:
                trainer.save_checkpoint(partial)  # by all processes; the first one writes
                if not trainer.is_global_zero:
                    return
                check_held(self.run)
                with partial.open("ab") as file:  # readers of the archive stop before what follows it
                    file.write(digest(partial.read_bytes()))
                flush(partial)
            except BaseException:  # a signal, too
                partial.unlink(missing_ok=True)
                raise
        # A process that dies between the two leaves the older checkpoint, which is as good.
        if self.path.exists():
            os.replace(self.path, self.path.with_name("previous.ckpt"))
        os.replace(partial, self.path)
        flush(self.path.parent)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint |= {"run": self.run.name, "config": self.config, "threads": sorted(self.threads)}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Raises ValueError: the checkpoint is another run's."""
        if checkpoint["run"] != self.run.name:
            raise ValueError(
                f"{self.path.parent}: expected checkpoints of {self.run.name}, found those of {checkpoint['run']!r}; give the "
                "folders their names back, or delete this one and run again"
            )
        before, now = set(checkpoint["threads"]), torch.get_num_threads()
        if before != {now} and trainer.is_global_zero and pl_module.device.type == "cpu":
            say(
                f"{self.run.name} was begun with {' and '.join(map(str, sorted(before)))} threads and goes on with {now}: its "
                "table can differ in small values from that of an uninterrupted run"
            )
        self.threads |= before


def digest(content: bytes) -> bytes:
    return f"sha256:{checksum(content)}".encode()


def damage(path: Path) -> str:
    """What is wrong with a checkpoint, or nothing."""
    content, length = path.read_bytes(), len(digest(b""))
    return "" if content[-length:] == digest(content[:-length]) else "its checksum is wrong"


def newest(folder: Path) -> tuple[Path | None, str]:
    """The newest checkpoint that is whole, or none where none was written yet; and a line about one passed over.

    Raises:
        ValueError: there are checkpoints, and all are damaged.
    """
    found = [path for path in (folder / "last.ckpt", folder / "previous.ckpt") if path.exists()]
    notes = []
    for path in found:
        if wrong := damage(path):
            notes.append(f"{path} is damaged: {wrong}")
            continue
        return path, "; ".join([*notes, f"going on from {path.name}"]) if notes else ""
    if found:
        raise ValueError(f"{'; '.join(notes)}. Nothing can be resumed: delete {folder} to start again from update 0")
    return None, ""
