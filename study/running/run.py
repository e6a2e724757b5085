"""One run: a configuration, an identity, a folder, and a table when it is done.

    <out>/<experiment>/<name>-<hash>/   config.yaml  provenance.json  metrics.parquet  done (written last, with the others'
                                        checksums), and where it was trained events.out.tfevents.*  checkpoints/; on a
                                        cluster job.json

A folder without `done` belongs to a run that was interrupted; running it again resumes from its checkpoint.
"""

import abc
import hashlib
import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from study.running.files import checksum, component, content, read_json, shown, supported, write
from study.running.lock import locked
from study.running.result import Result

if TYPE_CHECKING:  # who only reads finished runs need not wait until these are imported
    import pandas as pd
    import torch

    from study.running.capacity import Need

FORMAT = 1  # of a run's folder; one without a number is from before there were checksums
CHECKED = ("config.yaml", "provenance.json", "metrics.parquet")


@dataclass(frozen=True)
class Run(abc.ABC):
    """A run to be done."""

    experiment: str
    name: str
    config: dict[str, Any]

    @abc.abstractmethod
    def execute(self, out: Path, command: str = "") -> Result:
        """Do the run under the folder `out`, resume it, or read it if it is done."""

    @abc.abstractmethod
    def resolved(self) -> dict[str, Any]:
        """The configuration with defaults filled in."""

    @abc.abstractmethod
    def need(self) -> "Need":
        """The memory the stack takes."""

    def folder(self, out: Path, resolved: dict[str, Any] | None = None) -> Path:
        """Where a run of this configuration, defaults filled in, has its files."""
        out, config = Path(out), self.resolved() if resolved is None else resolved
        return out / component(self.experiment, out) / f"{component(self.name, out)}-{identity(config)}"


def stored(path: Path) -> Result | None:
    """The result of a run, where it is done."""
    return read(path) if os.path.lexists(path / "done") else None


def read(path: Path) -> Result:
    """The result of a run that is done.

    Raises:
        ValueError: one of its files is damaged, or from a newer version.
    """
    verify(path)
    return Result(path)


def checksums(path: Path) -> dict[str, str]:
    """Of the files of a run that matter later.

    Raises:
        ValueError: one is missing.
    """
    found = {}
    for name in CHECKED:
        try:
            found[name] = checksum(content(f"{path}/{name}"))  # thousands at a time: half the time of pathlib's way
        except FileNotFoundError:
            raise ValueError(f"{path}/{name}: missing; restore it, or delete {path} and run again") from None
    return found


def verify(path: Path) -> dict[str, str]:
    """Checksums of a finished run's files, which are as they were when it ended.

    Raises:
        ValueError: one is missing or damaged, or the run is from a newer version; names the file.
    """
    done, again = path / "done", f"restore it, or delete {path} and run again"
    try:
        size = done.stat().st_size
    except FileNotFoundError:
        raise ValueError(f"{path}: the run is not finished (no file `done`); run its experiment again") from None
    if not size:
        made = read_json(path / "provenance.json")
        if not isinstance(made, dict) or "format" in made:
            raise ValueError(f"{done}: damaged, it is empty; {again}")
        return checksums(path)
    noted = read_json(done)
    if not isinstance(noted, dict):
        raise ValueError(f"{done}: damaged, expected format and checksums, found {shown(noted)}; {again}")
    supported(noted.get("format"), FORMAT, done)  # before the files are opened, which may be others in a newer one
    found = checksums(path)
    if noted != {"format": FORMAT, "sha256": found}:
        sums = noted.get("sha256")
        wrong = [path / name for name in CHECKED if isinstance(sums, dict) and sums.get(name) != found[name]] or [done]
        raise ValueError(f"{wrong[0]}: damaged, its checksum is not the one in {done}; {again}")
    return found


@contextmanager
def begun(path: Path, config: dict[str, Any]) -> Iterator[None]:
    """A run's folder with its configuration in it, this process's alone while the block runs.

    Raises:
        ValueError: another process is doing the run.
        OSError: names a file, or the folder where the system did not say which.
    """
    path.mkdir(parents=True, exist_ok=True)
    try:
        with locked(path):
            (path / "failed.json").unlink(missing_ok=True)
            write(path / "config.yaml", yaml.safe_dump(config))
            yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def finish(path: Path, frame: "pd.DataFrame", device: "torch.device", command: str, seconds: float) -> Result:
    """Write what a finished run leaves: provenance, table, and `done` last."""
    from study.running import provenance

    frame.insert(0, "run", path.name)
    buffer = io.BytesIO()
    # Bounds of columns and Arrow's own schema make up most of a small table, and nothing uses them.
    frame.to_parquet(buffer, index=False, write_statistics=False, store_schema=False)
    made = {"format": FORMAT, **provenance.collect(device, command, seconds)}
    write(path / "provenance.json", json.dumps(made, indent=1))
    write(path / "metrics.parquet", buffer.getvalue())
    write(path / "done", json.dumps({"format": FORMAT, "sha256": checksums(path)}, indent=1))
    return Result(path)


def identity(config: dict[str, Any]) -> str:
    """Eight hex digits of the SHA-256 of the resolved configuration, seeds and device included."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:8]
