"""A run as plain data, for another process to carry out, and what that answers."""

import pkgutil
from pathlib import Path
from typing import Any

from study.observers.loss import Diverged
from study.running.integration import Stalled
from study.running.parts import split
from study.running.run import Run, failure


def order(run: Run, folder: Path, command: str, splitting: bool) -> dict[str, Any]:
    """What `carry_out` needs to do the run in its folder; can be written as JSON."""
    return {
        "kind": f"{type(run).__module__}:{type(run).__qualname__}",
        "experiment": run.experiment,
        "name": run.name,
        "config": run.config,
        "folder": str(folder.resolve()),
        "command": command,
        "splitting": splitting,
    }


def carry_out(order: dict[str, Any]) -> dict[str, Any] | None:
    """Do the run; returns what `error_of` makes an error of, or nothing where the run is done."""
    run = pkgutil.resolve_name(order["kind"])(order["experiment"], order["name"], order["config"])
    try:
        (split(run) if order["splitting"] else run).execute(Path(order["folder"]).parents[1], order["command"])
    except ArithmeticError as error:
        return failure(error)
    except ValueError as error:
        return failure(ValueError(str(error)))
    return None


def error_of(failed: dict[str, Any]) -> Exception:
    """The error that an answer, or the `failed.json` of a run, was made of."""
    match failed["kind"]:
        case "Diverged":
            return Diverged(failed["update"], failed["network"], failed["lr"])
        case "Stalled":
            return Stalled(failed["reason"], failed["network"], failed["time"])
        case "ValueError":
            return ValueError(failed["reason"])
    return ArithmeticError(failed["reason"])
