"""TensorBoard's scalars of a run: a full disk is an error of the file system, as it is elsewhere, and what is logged again after
an interruption is shown once."""

from collections.abc import Mapping

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.compat.proto.event_pb2 import Event, SessionLog


class Events(TensorBoardLogger):
    """Lightning's logger, which reports whatever goes wrong as a value that cannot be logged.

    Raises:
        OSError: the events could not be written.
    """

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        try:
            super().log_metrics(metrics, step)
        except ValueError as error:
            if isinstance(error.__cause__, OSError):
                raise error.__cause__ from None
            raise


class Rewind(Callback):
    """Has TensorBoard forget what was logged after the checkpoint that a training goes on from, as it is logged again."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.global_step and trainer.is_global_zero:
            first = trainer.global_step * trainer.datamodule.chunk + 1  # type: ignore[attr-defined]
            started = Event(step=first, session_log=SessionLog(status=SessionLog.START))
            trainer.logger.experiment.file_writer.add_event(started)  # type: ignore[union-attr]
