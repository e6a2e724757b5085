"""What an experiment is: options, a plan of runs, claims and figures made from their tables."""

import abc
import inspect
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from study.running.run import Result, Run

if TYPE_CHECKING:  # nothing is drawn to compute claims
    from matplotlib.figure import Figure

Results = dict[str, Result]
Plan = Generator[Mapping[str, Run], Results, None]


@dataclass(frozen=True)
class Claim:
    """A statement, what theory or the paper predicts, and what was measured.

    `low` and `high` are the interval named in the statement; `n` the number of independent repetitions (seeds).
    """

    id: str
    experiment: str
    statement: str
    source: str
    predicted: str
    measured: float
    low: float
    high: float
    n: int
    holds: bool


@dataclass
class Experiment(abc.ABC):
    """Options are the fields of the dataclass.

    Attributes:
        device: "cpu" or "cuda"; set by the runner.
    """

    name: ClassVar[str]
    expected: ClassVar[str]  # runs and time, shown by `study list`
    device: str = "cpu"

    @abc.abstractmethod
    def plan(self) -> Plan:
        """Yield runs by role and receive the results so far; a run that diverged is raised at its yield."""

    @abc.abstractmethod
    def claims(self, results: Results) -> list[Claim]:
        """Claims with their verdicts, from the tables alone."""

    def claim(
        self,
        name: str,
        statement: str,
        source: str,
        predicted: str,
        values: ArrayLike,
        holds: bool,
        measured: float | None = None,
        n: int | None = None,
    ) -> Claim:
        """A claim whose interval is the range of `values`; by default `measured` is their mean and n their number."""
        found = np.atleast_1d(np.asarray(values, dtype=float))
        return Claim(
            f"{self.name}/{name}",
            self.name,
            statement,
            source,
            predicted,
            float(found.mean() if measured is None else measured),
            float(found.min()),
            float(found.max()),
            found.size if n is None else n,
            bool(holds),
        )

    @abc.abstractmethod
    def figures(self, results: Results) -> "dict[str, Figure]":
        """Figures by caption."""

    @classmethod
    def statement(cls) -> str:
        """The claim as the experiment's module states it."""
        doc = inspect.getdoc(inspect.getmodule(cls)) or ""
        return doc.split("Claim: ")[1].split("\nCommand: ")[0]

    def reported(self, results: Results) -> list[dict[str, Any]]:
        """Rows of a table of further measurements that no claim is made of."""
        return []


def final(result: Result, metric: str) -> NDArray:
    """The last value of a metric, one per network."""
    rows = result.table[result.table["metric"] == metric]
    if rows.empty:
        raise ValueError(f"{result.path}: its table has no metric {metric!r}; delete the folder and run it again")
    return rows[rows["step"] == rows["step"].max()].sort_values("network")["value"].to_numpy()


def curves(result: Result, metric: str) -> tuple[NDArray, NDArray, NDArray]:
    """Steps [T], gradient-flow times [T, N] and values [T, N] of a metric."""
    rows = result.table[result.table["metric"] == metric].sort_values(["step", "network"], kind="stable")
    steps = rows["step"].unique()
    shape = (len(steps), len(rows) // len(steps))
    return steps, rows["time"].to_numpy().reshape(shape), rows["value"].to_numpy().reshape(shape)
