"""Checkpoints of a run: the last two, each written whole or not at all, and checked before it is read."""

import io
import os
import pickle
import struct
import uuid
import warnings
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer

from study.files import checksum, content, flush, naming, shown
from study.running.lock import check_held
from study.terminal import escaped, say

UNREADABLE = (RuntimeError, LookupError, TypeError, AttributeError, ValueError, EOFError, OverflowError, AssertionError)


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
            data = trainer.datamodule  # type: ignore[attr-defined]
            self.origin = f"resumed from update {trainer.global_step * data.chunk}"
            if trainer.is_global_zero:
                print(escaped(f"{self.run.name}: {self.origin} of {data.updates:,}"), flush=True)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: object) -> None:
        data = trainer.datamodule  # type: ignore[attr-defined]
        done, before = trainer.global_step * data.chunk, (trainer.global_step - 1) * data.chunk
        if done >= data.updates or done // self.every > before // self.every:
            self.save(trainer)

    def save(self, trainer: Trainer) -> None:
        # Of a name of its own: a process that lost its lock may still be writing.
        partial = self.path.with_name(f"{self.path.name}.{uuid.uuid4().hex}.partial")
        with naming(self.path):
            try:
                if trainer.is_global_zero:
                    check_held(self.run)
                trainer.save_checkpoint(partial)  # by all processes; the first one writes
                if not trainer.is_global_zero:
                    return
                with partial.open("r+b") as file:
                    whole = file.read()
                    file.write(digest(whole))  # readers of the archive stop before what follows it
                flush(partial)
                check_held(self.run)
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
        before, now = set(checkpoint["threads"]), torch.get_num_threads()
        if before != {now} and trainer.is_global_zero and pl_module.device.type == "cpu":
            say(
                f"{self.run.name} was begun with {' and '.join(map(str, sorted(before)))} threads and goes on with {now}: its "
                "table can differ in small values from that of an uninterrupted run"
            )
        self.threads |= before


def digest(content: bytes) -> bytes:
    return f"sha256:{checksum(content)}".encode()


def damage(whole: bytes) -> str:
    """What is wrong with a checkpoint's bytes, or nothing."""
    length = len(digest(b""))
    if len(whole) <= length:
        return "it is empty"
    return "" if whole[-length:] == digest(whole[:-length]) else "its checksum is wrong"


def load(path: Path) -> dict[str, Any]:
    """What a checkpoint holds: weights that are finite under `state_dict`, the configuration under `config`, and the rest as
    it was found.

    Raises:
        ValueError: it is damaged, holds more than numbers and text, or has no such weights or configuration; names the file.
    """
    whole = content(path)
    if wrong := damage(whole):
        raise ValueError(f"{path}: not a readable checkpoint of this project: {wrong}")
    try:
        with warnings.catch_warnings(action="ignore"):  # of kinds of tensors that are refused below
            warnings.filterwarnings("error", message="Detected pickle protocol")  # another than torch writes
            found = torch.load(io.BytesIO(whole), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(f"{path}: not a readable checkpoint: holds more than numbers and text, so it is not loaded") from error
    except (*UNREADABLE, struct.error, UserWarning) as error:  # whatever torch meets in bytes that it did not write
        raise ValueError(f"{path}: not a readable checkpoint of this project ({type(error).__name__})") from error
    match found:
        case {"state_dict": dict(weights), "config": dict()}:
            pass
        case _:
            raise ValueError(f"{path}: not a checkpoint of this project, expected state_dict and config, found {shown(found)}")
    for name, weight in weights.items():
        if not isinstance(weight, torch.Tensor) or not isinstance(name, str):
            raise ValueError(
                f"{path}: not a checkpoint of this project, expected weights, found {shown(weight)} as {shown(name)}"
            )
        if weight.is_sparse or not weight.is_floating_point() or weight.nbytes > weight.untyped_storage().nbytes():
            raise ValueError(f"{path}: weight {shown(name)} is of another type or larger than what the file holds")
        if not weight.isfinite().all():
            raise ValueError(f"{path}: weight {shown(name)} is not finite in all places; its training went wrong, do it again")
    return found


def newest(folder: Path) -> tuple[Path | None, str]:
    """The newest checkpoint that is whole, or none where none was written yet; and a line about one passed over.

    Raises:
        ValueError: there are checkpoints, and all are damaged.
    """
    found = [path for path in (folder / "last.ckpt", folder / "previous.ckpt") if os.path.lexists(path)]
    notes = []
    for path in found:
        if wrong := damage(content(path)):
            notes.append(f"{path} is damaged: {wrong}")
            continue
        return path, "; ".join([*notes, f"going on from {path.name}"]) if notes else ""
    if found:
        raise ValueError(f"{'; '.join(notes)}. Nothing can be resumed: delete {folder} to start again from update 0")
    return None, ""
