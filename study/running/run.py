"""One run: a configuration, an identity, a folder, and a table when it is done.

    <out>/<experiment>/<name>-<hash>/   config.yaml  provenance.json  metrics.parquet  done (written last), and where it
                                        was trained events.out.tfevents.*  checkpoints/; on a cluster job.json

A folder without `done` belongs to a run that was interrupted; running it again resumes from its checkpoint.
"""

import abc
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import yaml

from study.running import provenance
from study.running.capacity import Need
from study.running.lock import locked


@dataclass(frozen=True)
class Result:
    """A finished run: its folder and its table (columns run, network, step, time, metric, value)."""

    path: Path
    table: pd.DataFrame

    @property
    def config(self) -> dict[str, Any]:
        return yaml.safe_load((self.path / "config.yaml").read_text())

    @property
    def provenance(self) -> dict[str, Any]:
        return json.loads((self.path / "provenance.json").read_text())


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
    def need(self) -> Need:
        """The memory the stack takes."""

    def folder(self, out: Path, resolved: dict[str, Any] | None = None) -> Path:
        """Where a run of this configuration, defaults filled in, has its files."""
        return Path(out) / self.experiment / f"{self.name}-{identity(self.resolved() if resolved is None else resolved)}"


def stored(path: Path) -> Result | None:
    """The result of a run, where it is done."""
    return read(path) if (path / "done").exists() else None


def read(path: Path) -> Result:
    """The result of a run that is done."""
    return Result(path, pd.read_parquet(path / "metrics.parquet"))


@contextmanager
def begun(path: Path, config: dict[str, Any]) -> Iterator[None]:
    """A run's folder with its configuration in it, this process's alone while the block runs.

    Raises:
        ValueError: another process is doing the run.
    """
    path.mkdir(parents=True, exist_ok=True)
    with locked(path):
        (path / "failed.json").unlink(missing_ok=True)
        write(path / "config.yaml", yaml.safe_dump(config))
        yield


def write_failure(path: Path, error: Exception) -> None:
    """Write why a run cannot be finished, as `failed.json`."""
    write(path / "failed.json", json.dumps(failure(error), indent=1))


def failure(error: Exception) -> dict[str, Any]:
    """The kind of an error, its message, and its attributes."""
    return {"kind": type(error).__name__, "reason": str(error), **vars(error)}


def finish(path: Path, frame: pd.DataFrame, device: torch.device, command: str, seconds: float) -> Result:
    """Write what a finished run leaves: provenance, table, and `done` last."""
    frame.insert(0, "run", path.name)
    write(path / "provenance.json", json.dumps(provenance.collect(device, command, seconds), indent=1))
    with (path / "metrics.parquet.partial").open("wb") as file:
        frame.to_parquet(file, index=False)
    os.replace(path / "metrics.parquet.partial", path / "metrics.parquet")
    write(path / "done", "")
    return Result(path, frame)


def identity(config: dict[str, Any]) -> str:
    """Eight hex digits of the SHA-256 of the resolved configuration, seeds and device included."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:8]


def write(path: Path, content: str | bytes) -> None:
    """Write a file so that it is either whole or absent."""
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(content.encode() if isinstance(content, str) else content)
    os.replace(partial, path)
