"""How a training is logged, which is no part of what it is: Lightning's loggers of other programs beside TensorBoard's."""

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser
    from lightning.pytorch.loggers import Logger

Kind = Literal["tensorboard", "csv", "wandb", "mlflow"]
OPTIONS = ("logger", "per_network")  # of a configuration
PACKAGES = ("wandb", "mlflow")  # that have to be installed, of the loggers of these names


def add_options(parser: "ArgumentParser") -> None:
    parser.add_argument("--logger", type=Kind, default="tensorboard", help="log to CSV files, W&B or MLflow too")
    parser.add_argument("--per-network", action="store_true", help="show curves of single networks, not means alone")


def take_options(given: dict[str, Any]) -> dict[str, Any]:
    """Those of a command, taken out of all that it was given.

    Raises:
        ValueError: a package is missing.
    """
    taken = {name: given.pop(name) for name in OPTIONS if name in given}
    if "logger" in taken:
        check_installed(taken["logger"])
    return taken


def check_installed(kind: Kind) -> None:
    """Raises ValueError: the package of a logger is missing; names the command that installs it."""
    if kind in PACKAGES:
        found = importlib.util.find_spec(kind)
        if found is None or found.origin is None:  # a folder of results of that name is no package
            raise ValueError(f"--logger {kind} needs the package {kind}; install it by: pip install {kind}")


@contextmanager
def further(kind: Kind, experiment: str, path: Path, out: Path) -> Iterator[list["Logger"]]:
    """The logger beside TensorBoard's of a run in the folder `path` under `out`, where there is one, until the run is done: files under
    <run>/csv, the project or the experiment of that name of W&B or MLflow. Where these two are is for their own variables to say."""
    match kind:
        case "csv":
            from lightning.pytorch.loggers import CSVLogger

            yield [CSVLogger(path, name="csv")]
        case "wandb":
            import wandb
            from lightning.pytorch.loggers import WandbLogger

            project = os.environ.get("WANDB_PROJECT", experiment)
            made = WandbLogger(path.name, path, version=path.name, project=project)  # the version goes on after an interruption
            try:
                yield [made]
            finally:
                wandb.finish()  # or the next run of this process would be logged as this one
        case "mlflow":
            from lightning.pytorch.loggers import MLFlowLogger

            yield [MLFlowLogger(experiment, path.name, save_dir=str(out / "mlruns"))]
        case _:
            yield []
