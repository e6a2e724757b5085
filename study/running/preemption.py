"""A training that is asked to end does so after the chunk it is in, with a checkpoint."""

import signal
from types import FrameType

from lightning import Callback, LightningModule, Trainer

from study.running.checkpoint import Checkpoint
from study.running.signals import Preempted, asking


class Preemption(Callback):
    """On a signal that asks for the end, writes a checkpoint at the end of the chunk and raises Preempted. A second
    Ctrl-C raises it at once. A training that is already at its last chunk is finished instead; see `late`."""

    def __init__(self, saver: Checkpoint) -> None:
        self.saver, self.received = saver, 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # In place of Lightning's own handlers (its requeueing on SLURM among them), which it has set by now. When fitting
        # ends, it puts back those from before.
        for number in asking():
            signal.signal(number, self.receive)

    def receive(self, number: int, frame: FrameType | None) -> None:
        if self.received and number == signal.SIGINT:
            raise Preempted(number)
        self.received = number

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: object) -> None:
        data = trainer.datamodule  # type: ignore[attr-defined]
        # All ranks stop at the same chunk, whichever got the signal.
        if not trainer.strategy.reduce_boolean_decision(bool(self.received), all=False):
            return
        if trainer.global_step * data.chunk < data.updates:
            self.saver.save(trainer)
            raise Preempted(self.received or signal.SIGINT)  # whoever got the signal has the job requeued, or not

    def late(self) -> None:
        """Deliver a signal that came too late to stop this training, now that it is finished, to whoever comes next."""
        if self.received:
            signal.raise_signal(self.received)
