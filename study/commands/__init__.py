"""The commands: one module each, imported when it is given. Its docstring is its help, and `main` takes its arguments and returns
the exit code. What computes is imported after the arguments are understood, so that a help is shown at once."""

from importlib import import_module
from types import ModuleType

from study import documentation

COMMANDS = (
    "list", "run", "status", "cancel", "show", "fit", "probe", "spectrum", "claims", "report", "board", "reproduce",
    "clean", "bench",
)  # fmt: skip


def command(name: str) -> ModuleType:
    """The module of a command."""
    module = import_module(f"{__name__}.{name}")
    documentation.restore(module)
    return module
