"""`failed.json` in the folder of a run that cannot be finished: the kind of error, the reason, and what else the error knows."""

from pathlib import Path
from typing import Any

from study.running.files import read_json

KEYS = {
    "Diverged": {"update", "network", "lr"},
    "Stalled": {"network", "time"},
    "OSError": {"errno", "strerror", "filename"},
}


def failed(folder: Path) -> dict[str, Any] | None:
    """Why the run cannot be finished, where that is known.

    Raises:
        ValueError: the file is damaged.
    """
    path = folder / "failed.json"
    if not path.exists():
        return None
    match found := read_json(path):
        case {"kind": str(kind), "reason": str()} if found.keys() >= KEYS.get(kind, set()):
            return found
    raise ValueError(f"{path}: damaged, expected kind and reason of a failure, found {found!r}; delete it and run again")
