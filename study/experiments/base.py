"""What an experiment is: options, a plan of runs, claims and figures made from their tables."""

import abc
import dataclasses
import inspect
import re
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from study import outside
from study.experiments.comparison import Comparison
from study.experiments.verdict import MEASUREMENT, Region, judge
from study.running.result import Result
from study.running.run import Run

if TYPE_CHECKING:
    import matplotlib.figure

Results = dict[str, Result]
Figures = dict[str, "matplotlib.figure.Figure"]  # by caption; what draws is imported by `figures`, as claims do without
Plan = Generator[Mapping[str, Run], Results, None]
SHORTEST = 2  # seconds of a run, however small it is
MOST = 100_000  # of seeds, networks, pairs: all are in memory at once


@dataclass(frozen=True)
class Claim:
    """A statement, what theory or the paper predicts, and what was measured.

    `at_least` and `at_most` are the predicted region, infinite where it is open; `low` and `high` the interval named in the
    statement; `n` the number of independent repetitions (seeds), None where nothing is random. `outside` names the options that
    leave the conditions of the claim: where there are any, the verdict is "measurement".
    """

    id: str
    experiment: str
    statement: str
    source: str
    predicted: str
    at_least: float
    at_most: float
    measured: float
    low: float
    high: float
    n: int | None
    outside: str
    verdict: str


@dataclass
class Experiment(abc.ABC):
    """Options are the fields of the dataclass.

    Attributes:
        device: "cpu" or "cuda"; set by the runner.
    """

    free: ClassVar[tuple[str, ...]] = ()  # options that may differ from their defaults while claims stay claims; device always
    name: ClassVar[str]
    cores: ClassVar[int] = 4  # of a process, where runs are done at once: up to so many make a run faster
    expected: ClassVar[str]  # runs and time, shown by `study list`
    minutes: ClassVar[float | None] = None  # that the runs take on 2 cores with the default options, where that was measured
    example: ClassVar[str] = "--device cpu"  # options, shown by --help
    device: str = "cpu"

    @abc.abstractmethod
    def plan(self) -> Plan:
        """Yield runs by role and receive the results so far; a run that diverged is raised at its yield. Runs with a result are not
        done again."""

    def run_count(self) -> int:
        """How many runs the plan has, where none diverges; those of its first batch, unless a subclass knows better."""
        return len(next(self.plan()))

    def expected_work(self) -> float:
        """How much there is to compute, in any unit: networks, unless a subclass knows better."""
        return sum(len(run.config["model"]["encoder"]["init_args"]["seeds"]) for run in next(self.plan()).values())

    def expected_seconds(self) -> float | None:
        """About how long the runs take on 2 cores with these options, if time grows with the work; none where it was not measured."""
        if self.minutes is None:
            return None
        return max(SHORTEST * self.run_count(), 60 * self.minutes * self.expected_work() / type(self)().expected_work())

    @abc.abstractmethod
    def claims(self, results: Results) -> list[Claim]:
        """Claims with their verdicts, from the tables alone."""

    def outside(self) -> str:
        """The options that leave the conditions of the claims, as text; empty where there are none."""
        fixed = [field for field in dataclasses.fields(self) if field.name not in (*self.free, "device", "observers")]
        found = {field.name: getattr(self, field.name) for field in fixed if getattr(self, field.name) != field.default}
        return ", ".join(f"{name} = {value}" for name, value in found.items())

    def claim(
        self,
        name: str,
        statement: str,
        source: str,
        predicted: str,
        region: Region,
        values: ArrayLike,
        measured: float | None = None,
        n: int | None = None,
    ) -> Claim:
        """A claim whose interval is the range of `values`; by default `measured` is their mean and n their number. A single
        value, without n, is one in which nothing is random."""
        found = np.atleast_1d(np.asarray(values, dtype=float))
        low, high = float(found.min()), float(found.max())
        n = found.size if n is None and np.ndim(values) else n
        outside = self.outside()
        return Claim(
            id=f"{self.name}/{name}",
            experiment=self.name,
            statement=statement,
            source=source,
            predicted=predicted,
            at_least=float(region.at_least),
            at_most=float(region.at_most),
            measured=float(found.mean() if measured is None else measured),
            low=low,
            high=high,
            n=n,
            outside=outside,
            verdict=MEASUREMENT if outside else judge(region, low, high, n),
        )

    @abc.abstractmethod
    def figures(self, results: Results) -> Figures:
        """Figures made from the tables."""

    @classmethod
    def statement(cls) -> str:
        """The claim as the experiment's module states it.

        Raises:
            ValueError: it does not.
        """
        doc = inspect.getdoc(inspect.getmodule(cls)) or ""
        if not (stated := re.search(r"(?s)Claim: (.*?)\nCommand: ", doc)):
            raise ValueError(f"{cls.__name__}: expected lines `Claim: ...` and then `Command: ...` in its module's docstring")
        return stated[1]

    def reported(self, results: Results) -> list[dict[str, Any]]:
        """Rows of a table of further measurements that no claim is made of."""
        return []

    def comparison(self, results: Results) -> Comparison | None:
        """JEPA against MAE on samples with a distractor, where the experiment has trained both."""
        return None


@dataclass
class TrainingExperiment(Experiment):
    """Base of experiments whose runs are trained by Lightning, so that anything can be measured in them. Observers change no run's
    weights, and claims stay claims.

    Args:
        observers: classes of further observers, package.module.Class or path/to/file.py:Class.
    """

    observers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.observers = tuple(map(outside.whole, self.observers))

    def further(self, every: int) -> list[dict[str, Any]]:
        """The further observers as callbacks of a configuration, each with the option `every`."""
        return [{"class_path": name, "init_args": {"every": every}} for name in self.observers]


def together(plans: Iterable[Plan]) -> Plan:
    """Plans that do not depend on each other as one, whose batches are done at once."""
    from study.observers.loss import Diverged

    waiting = {plan: next(plan) for plan in plans}
    while waiting:
        try:
            results = yield {role: run for batch in waiting.values() for role, run in batch.items()}
        except Diverged as stop:
            plan = next(plan for plan, batch in waiting.items() if stop.role in batch)
            waiting[plan] = plan.throw(stop)
            continue
        for plan in list(waiting):
            try:
                waiting[plan] = plan.send(results)
            except StopIteration:
                del waiting[plan]


def check_count(name: str, value: int, least: int = 1, most: int = MOST) -> None:
    """Refuse a number of things that cannot be, before a list of them is built.

    Raises:
        ValueError: it is not in [least, most].
    """
    if not least <= value <= most:
        raise ValueError(f"{name} must be at least {least} and at most {most:,}, found {value}")


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
