"""What an experiment is: options, a plan of runs, claims and figures made from their tables."""

import abc
import inspect
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from study.running.result import Result
from study.running.run import Run

if TYPE_CHECKING:
    import matplotlib.figure

Results = dict[str, Result]
Figures = dict[str, "matplotlib.figure.Figure"]  # by caption; what draws is imported by `figures`, as claims do without
Plan = Generator[Mapping[str, Run], Results, None]


MOST = {"seeds": 1_000_000, "pairs": 1_000_000, "networks": 1_000_000, "points": 1_000}  # a side of the grid


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


def check_counts(options: dict[str, Any]) -> None:
    """Raises ValueError: an option asks for more networks than their list could hold; said before the list is made."""
    for name, most in MOST.items():
        if options.get(name, 0) > most:
            raise ValueError(f"{name} must be at most {most:,}, found {options[name]:,}")


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
    def figures(self, results: Results) -> Figures:
        """Figures made from the tables."""

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
    network, step, _, value = result.rows(metric)
    last = step == step.max()
    return value[last][np.argsort(network[last])]


def curves(result: Result, metric: str) -> tuple[NDArray, NDArray, NDArray]:
    """Steps [T], gradient-flow times [T, N] and values [T, N] of a metric."""
    network, step, time, value = result.rows(metric)
    order = np.lexsort((network, step))
    steps = np.unique(step)
    return steps, time[order].reshape(len(steps), -1), value[order].reshape(len(steps), -1)
