"""Experiments by name."""

from collections.abc import Iterator, Mapping
from importlib import import_module

from study import documentation
from study.experiments.base import Experiment

# In the order of the page; `study run linear` does the linear ones.
LINEAR = (
    "dynamics", "critical_times", "phases", "takeover", "flips", "generative", "noncommuting", "predictor_rate", "weight_decay", "ema",
    "teacher", "bottleneck", "robustness",
)  # fmt: skip


class Experiments(Mapping[str, type[Experiment]]):
    """The class of each experiment, imported when it is asked for: who reads results often needs the names alone, and what
    trains networks takes seconds to import."""

    names = (*LINEAR, "pixels")

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
