"""How far a training is, on a terminal: updates, not the chunks that are Lightning's steps."""

from lightning import Callback, LightningModule, Trainer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn


class Bar(Callback):
    """Updates that are done and the time that is left, in one line on stderr that goes when training ends."""

    def __init__(self) -> None:
        self.progress = Progress(
            TextColumn("{task.completed:,.0f} of {task.total:,.0f} updates"),
            BarColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:
            data = trainer.datamodule  # type: ignore[attr-defined]
            self.task = self.progress.add_task("", total=data.updates, completed=trainer.global_step * data.chunk)
            self.progress.start()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: object) -> None:
        if trainer.is_global_zero:
            data = trainer.datamodule  # type: ignore[attr-defined]
            self.progress.update(self.task, completed=min(trainer.global_step * data.chunk, data.updates))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.progress.stop()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self.progress.stop()
