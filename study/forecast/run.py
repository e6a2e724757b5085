"""A forecast as a run: with an identity, a folder and a table, as a training has them, so that it is made once and kept."""

import abc
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import pandas as pd
import torch

from datamodules import Pairs, SourcePairs
from study.arguments import made
from study.observers.table import COLUMNS
from study.running import inputs
from study.running.capacity import Need
from study.running.failed import forget
from study.running.integration import check_keys
from study.running.result import Result
from study.running.run import Run, begun, finish, stored
from study.terminal import say

MATRICES = 50  # of d x d numbers in float64 that a forecast has in memory at once: blocks of moments and what is made of them


class Row(NamedTuple):
    """One number of the table: after so many updates, or at this gradient-flow time, where it is of a training."""

    metric: str
    step: int
    time: float
    value: float
    network: int = 0


class ForecastRun(Run):
    """The configuration has the data of `study fit --config`, and `forecast` in the place of trainer and model."""

    options: ClassVar[frozenset[str]]  # of `forecast`, all of which are given

    @abc.abstractmethod
    def rows(self, data: SourcePairs, options: dict[str, Any]) -> Iterator[Row]:
        """The table, of data that are set up."""

    def execute(self, out: Path, command: str = "") -> Result:
        """Make the forecast.

        Raises:
            ArithmeticError: no rate is low enough.
            ValueError: the configuration is impossible; nothing was written.
        """
        config, depends = self.resolved(), self.inputs()
        path = self.folder(out, depends)
        if done := stored(path):
            return done
        self.need().check()
        data = self.data()
        data.setup()
        self.check_inputs(depends)
        again = (path / "config.yaml").exists()
        with begun(path, config):
            if done := stored(path):  # by a process that had the lock until now
                return done
            forget(path)
            if again:
                say(f"{path} was not finished; a forecast has no checkpoint and starts again")
            start = time.monotonic()
            frame = pd.DataFrame(list(self.rows(data, config["forecast"])), columns=list(Row._fields))[COLUMNS]
            return finish(path, frame, torch.device("cpu"), command, time.monotonic() - start, "computed", depends)

    def data(self) -> SourcePairs:
        """The pairs, not set up."""
        found = made(Pairs, self.config["data"])
        if not isinstance(found, SourcePairs):
            raise ValueError(f"data: a forecast is made of samples of a source (SourcePairs), found {type(found).__name__}")
        return found

    def need(self) -> Need:
        data = self.data()
        data.attach()
        return Need(1, 8 * MATRICES * data.inputs**2, "cpu")

    def inputs(self) -> dict[str, str]:
        return inputs.known(self.resolved(), self.data().files())

    def identifying(self) -> dict[str, Any]:
        return inputs.portable(self.resolved())

    def resolved(self) -> dict[str, Any]:
        check_keys("", self.config, {"data", "forecast"}, set())
        check_keys("forecast: ", self.config["forecast"], self.options, set())
        return json.loads(json.dumps(self.config))
