"""Experiments by name: this program's, and those of users by their import path or file."""

import dataclasses
import inspect
from collections.abc import Iterator, Mapping
from importlib import import_module

from study import documentation, outside
from study.experiments.base import Experiment

__all__ = ["EXPERIMENTS", "LINEAR", "OTHERS", "experiment"]

# In the order of the page; `study run linear` does the linear ones.
LINEAR = (
    "dynamics", "critical_times", "phases", "takeover", "flips", "generative", "noncommuting", "predictor_rate", "weight_decay", "ema",
    "teacher", "bottleneck", "robustness",
)  # fmt: skip
OTHERS = ("linear", "fit", "jobs", "report", "cache")  # folders of results, and names of commands, that are no experiment's


class Experiments(Mapping[str, type[Experiment]]):
    """The class of each experiment, imported when it is asked for: who reads results often needs the names alone, and what
    trains networks takes seconds to import."""

    names = (*LINEAR, "pixels", "networks", "forecast", "masks", "lift", "learning_curves")

    def __getitem__(self, name: str) -> type[Experiment]:
        if name not in self.names:
            raise KeyError(name)
        module = import_module(f"{__name__}.{name}")
        documentation.restore(module)
        return getattr(module, name.title().replace("_", ""))

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


EXPERIMENTS = Experiments()


def experiment(name: str) -> type[Experiment]:
    """The class of an experiment: one of EXPERIMENTS, or a user's by `package.module.Class` or `path/to/file.py:Class`.

    Raises:
        ValueError: there is none, or it is not one that can be done and shown; says what it lacks.
    """
    if name in EXPERIMENTS:
        return EXPERIMENTS[name]
    found = outside.resolve(name)
    if not (inspect.isclass(found) and issubclass(found, Experiment) and dataclasses.is_dataclass(found)):
        raise ValueError(f"{name}: expected a dataclass with the base study.experiments.base.Experiment, found {found!r}")
    if missing := sorted(found.__abstractmethods__):
        raise ValueError(f"{name}: expected a whole experiment, found one without {', '.join(missing)}")
    if missing := [field for field in ("name", "expected") if not isinstance(getattr(found, field, None), str)]:
        raise ValueError(f"{name}: expected texts as class variables name and expected, found no {' and no '.join(missing)}")
    needed = [
        field.name for field in dataclasses.fields(found) if field.default is field.default_factory is dataclasses.MISSING
    ]
    if needed:
        raise ValueError(f"{name}: expected a default for every option, found none of {', '.join(needed)}")
    if found.name in (*EXPERIMENTS, *OTHERS) or not found.name.isidentifier():
        raise ValueError(
            f"{name}: expected a name of letters, digits and _ that is none of ours, found {found.name!r}; rename it"
        )
    found.statement()
    return found
