"""Failures as plain data (the kind of error, the reason, and what else the error knows): for another process, and as `failed.json`
in the folder of a run that cannot be finished. Kept free of torch, as who computes claims needs it too.
"""

import json
import os
from pathlib import Path
from typing import Any

from study.files import count, number, read_json, shown, write


class Stalled(ArithmeticError):
    """An integration could not go on; says when and in which network."""

    def __init__(self, reason: str, network: int, time: float) -> None:
        super().__init__(reason)
        self.network, self.time = network, time


def failure(error: Exception) -> dict[str, Any]:
    """What `error_of` makes an error of."""
    match error:
        case ValueError():  # of whatever kind: its reason is all that counts
            return {"kind": "ValueError", "reason": str(error)}
        case OSError():
            known = {
                "errno": error.errno,
                "strerror": error.strerror or str(error),
                "filename": error.filename and str(error.filename),
            }
            return {"kind": "OSError", "reason": str(error)} | known
    return {"kind": type(error).__name__, "reason": str(error), **vars(error)}


def error_of(failed: dict[str, Any]) -> Exception:
    """The error that an answer, or the `failed.json` of a run, was made of."""
    match failed["kind"]:
        case "Diverged":
            from study.observers.loss import Diverged

            return Diverged(failed["update"], failed["network"], failed["lr"])
        case "Stalled":
            return Stalled(failed["reason"], failed["network"], failed["time"])
        case "ValueError":
            return ValueError(failed["reason"])
        case "OSError":
            return OSError(failed["errno"], failed["strerror"], failed["filename"])
    return ArithmeticError(failed["reason"])


def write_failure(path: Path, error: Exception) -> None:
    """Write why a run cannot be finished, as `failed.json`."""
    write(path / "failed.json", json.dumps(failure(error), indent=1))


def forget(path: Path) -> None:
    """Remove `failed.json`: the run is tried again."""
    (path / "failed.json").unlink(missing_ok=True)


def failed(folder: Path) -> dict[str, Any] | None:
    """Why the run cannot be finished, where that is known.

    Raises:
        ValueError: the file is damaged.
    """
    path = folder / "failed.json"
    if not os.path.lexists(path):
        return None
    match found := read_json(path):
        case {"kind": "Diverged", "reason": str(), "update": update, "network": network, "lr": lr}:
            whole = count(update) and count(network) and number(lr)
        case {"kind": "Stalled", "reason": str(), "network": network, "time": time}:
            whole = count(network) and number(time)
        case {"kind": "OSError", "reason": str(), "errno": int() | None, "strerror": str(), "filename": str() | None}:
            whole = True
        case {"kind": str(kind), "reason": str()}:
            whole = kind not in ("Diverged", "Stalled", "OSError")
        case _:
            whole = False
    if not whole:
        raise ValueError(
            f"{path}: damaged, expected kind and reason of a failure, found {shown(found)}; delete it and run again"
        )
    return found
