"""TensorBoard's scalars of a run; a full disk is an error of the file system, as it is elsewhere."""

from collections.abc import Mapping

from lightning.pytorch.loggers import TensorBoardLogger


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
