"""Docstrings are what `study list` and --help show: they are wanted also where Python was told to drop them (-OO)."""

import ast
import inspect
import sys
from types import ModuleType

DROPPED = 2  # the level of optimisation without docstrings


def restore(module: ModuleType) -> None:
    """Give a module, its functions and its classes their docstrings back, from its source."""
    if sys.flags.optimize < DROPPED:
        return
    tree = ast.parse(inspect.getsource(module))
    module.__doc__ = ast.get_docstring(tree)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            vars(module)[node.name].__doc__ = ast.get_docstring(node)
