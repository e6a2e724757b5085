"""Where a run lies in the folder of its experiment."""

from pathlib import Path

from study.files import component

TUNING = "tuning"  # sub-folder of the runs by which learning rates are chosen, whose names begin with it


def below(folder: Path, name: object, source: Path) -> Path:
    """The folder of a run, whose name, and no way out of `folder`, `source` holds.

    Raises:
        ValueError: it is not such a name.
    """
    if isinstance(name, str) and name.startswith(f"{TUNING}/"):
        return folder / TUNING / component(name.removeprefix(f"{TUNING}/"), source)
    return folder / component(name, source)
