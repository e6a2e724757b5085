"""Speed against other ways to do the same work: `study bench`."""

from collections.abc import Callable
from importlib import import_module

from study.bench.base import Row

__all__ = ["NAMES", "benchmark"]

NAMES = ("stacks", "pixels", "trainer", "observers", "times", "scaling", "spectrum", "networks")


def benchmark(name: str) -> Callable[[str], list[Row]]:
    """The function device -> rows of a benchmark.

    Raises:
        ValueError: there is none of that name.
    """
    if name not in NAMES:
        raise ValueError(f"expected the name of a benchmark, found {name!r}; choose one of: {', '.join(NAMES)}")
    return import_module(f"study.bench.{name}").rows
