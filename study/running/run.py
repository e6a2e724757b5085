"""One run: a configuration, an identity, a folder, and a table when it is done.

    <out>/<experiment>/<name>-<hash>/   config.yaml  provenance.json  metrics.parquet  done (written last, with the folder's name
                                        and the others' checksums), and where it was trained events.out.tfevents.*
                                        checkpoints/; on a cluster job.json

Runs by which learning rates are chosen lie in <out>/<experiment>/tuning/. A folder without `done` belongs to a run that was
interrupted; running it again resumes from its checkpoint.
"""

import abc
import dataclasses
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

from study.files import checksum, component, content, read_json, shown, supported, write
from study.running.lock import check_held, locked
from study.running.places import TUNING, below
from study.running.result import Result

if TYPE_CHECKING:  # who only reads finished runs need not wait until these are imported
    import pandas as pd
    import torch

    from study.running.capacity import Need

FORMAT = 3  # of a run's folder
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

    @property
    def tuning(self) -> bool:
        """Whether learning rates are chosen by it."""
        return self.name.startswith(f"{TUNING}/")

    def logged(self, how: dict[str, Any]) -> "Run":
        """The same run, logged by the options of `study.running.loggers`, where it is logged at all."""
        return self

    @abc.abstractmethod
    def resolved(self) -> dict[str, Any]:
        """The configuration with defaults filled in."""

    @abc.abstractmethod
    def need(self) -> "Need":
        """The memory the stack takes."""

    def inputs(self) -> dict[str, str]:
        """What the run depends on besides its configuration, by name: checksums of its data's files and of code from outside.

        Raises:
            ValueError: some of it is missing.
        """
        return {}

    def check_inputs(self, before: dict[str, str]) -> None:
        """Raises ValueError: what the run depends on is not what it was when its folder was named."""
        if self.inputs() != before:
            raise ValueError(f"{self.name}: its data or classes changed while they were read; run it again")

    def folder(self, out: Path, inputs: dict[str, str] | None = None) -> Path:
        """Where the run has its files; its configuration, defaults filled in, and its inputs name it."""
        out = Path(out)
        digits = identity({"config": self.identifying(), "inputs": self.inputs() if inputs is None else inputs})
        found = below(out / component(self.experiment, out), self.name, out)
        return found.with_name(f"{found.name}-{digits}")

    def identifying(self) -> dict[str, Any]:
        """What of the configuration makes it another run."""
        return self.resolved()


def stored(path: Path) -> Result | None:
    """The result of a run, where it is done already."""
    return dataclasses.replace(read(path), kept=True) if os.path.lexists(path / "done") else None


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
    if not done.exists():
        raise ValueError(f"{path}: the run is not finished (no file `done`); run its experiment again")
    noted = read_json(done)
    if not isinstance(noted, dict):
        raise ValueError(f"{done}: damaged, expected format and checksums, found {shown(noted)}; {again}")
    supported(noted.get("format"), FORMAT, done)  # before the files are opened, which may be others in another one
    if noted.get("run") != path.name:
        raise ValueError(
            f"{path}: holds the run {shown(noted.get('run'))}; give the folder its name back, or delete it and run again"
        )
    found = checksums(path)
    if noted != {"format": FORMAT, "run": path.name, "sha256": found}:
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
    from study.running import provenance

    try:
        with locked(path):
            provenance.commit()  # git can take long, or not answer: not after a training
            for left in path.rglob("*.partial"):  # by a process that was killed while it wrote
                left.unlink(missing_ok=True)
            write(path / "config.yaml", yaml.safe_dump(config))
            yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def finish(
    path: Path,
    frame: "pd.DataFrame",
    device: "torch.device",
    command: str,
    seconds: float,
    origin: str,
    inputs: dict[str, str] | None = None,
    threads: list[int] | None = None,
) -> Result:
    """Write what a finished run leaves: provenance, table, and `done` last. `origin` tells how it came to be.

    Raises:
        ValueError: the lock was lost meanwhile; nothing is written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from study.running import provenance

    frame.insert(0, "run", path.name)
    buffer = io.BytesIO()
    # Not by pandas, which writes what is not a number as missing.
    columns = {name: pa.array(frame[name].to_numpy(), from_pandas=False) for name in frame}
    # Bounds of columns and Arrow's own schema make up most of a small table, and nothing uses them.
    pq.write_table(pa.table(columns), buffer, write_statistics=False, store_schema=False)
    made = {"format": FORMAT, **provenance.collect(device, command, seconds, origin, inputs or {}, threads)}
    check_held(path)
    write(path / "provenance.json", json.dumps(made, indent=1))
    write(path / "metrics.parquet", buffer.getvalue())
    write(path / "done", json.dumps({"format": FORMAT, "run": path.name, "sha256": checksums(path)}, indent=1))
    return Result(path)


def identity(config: dict[str, Any]) -> str:
    """Twelve hex digits of the SHA-256 of a configuration, seeds and device included: among 100,000 runs two that differ share
    them with a probability of 2e-5."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:12]
