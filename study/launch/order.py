"""A run as plain data, for another process to carry out, and what that answers."""

from pathlib import Path
from typing import Any

from study import naming, outside
from study.forecast.run import ForecastRun
from study.launch.parts import split
from study.running.failed import failure
from study.running.integration import Integration
from study.running.run import Run

CARRY_OUT = "study.launch.order:carry_out"  # for a pool


def order(run: Run, out: Path, folder: Path, command: str, splitting: bool) -> dict[str, Any]:
    """What `carry_out` needs to do the run, whose folder under `out` is given; can be written as JSON."""
    return {
        "kind": naming.external(f"{type(run).__module__}.{type(run).__qualname__}"),
        "experiment": run.experiment,
        "name": run.name,
        "config": run.config,
        "out": str(out.resolve()),
        "folder": str(folder.resolve()),
        "command": command,
        "splitting": splitting,
    }


def carry_out(made: dict[str, Any]) -> dict[str, Any] | None:
    """Do the run; returns what `error_of` makes an error of, or nothing where the run is done."""
    run = outside.resolve(made["kind"])(made["experiment"], made["name"], made["config"])
    out = Path(made["out"])
    try:
        if (found := run.folder(out).name) != Path(made["folder"]).name:
            raise ValueError(
                f"{found}: expected {Path(made['folder']).name}; this process found other data, classes or defaults than the one that "
                "ordered the run; wait until all machines see the same files, and run it again"
            )
        (split(run) if made["splitting"] else run).execute(out, made["command"])
    except (ArithmeticError, ValueError, OSError) as error:
        return failure(error)
    return None


def resumes(made: dict[str, Any]) -> bool:
    """Whether the run goes on where it was interrupted, and does not start again."""
    return not issubclass(outside.resolve(made["kind"]), (Integration, ForecastRun))
