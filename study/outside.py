"""Classes and functions from outside this program, named `package.module.Class` or `path/to/file.py:Class`.

A file is imported under a name of its own, so that a user's models.py is none of our modules; its folder is searched last, so that
what lies beside it can be imported by it and hides nothing.
"""

import difflib
import importlib.util
import inspect
import re
import sys
import traceback
from functools import reduce
from pathlib import Path
from types import ModuleType
from typing import Any

from study import documentation
from study.files import checksum
from study.imports import imported
from study.terminal import say

OURS = ("datamodules", "models", "study")
FILE = re.compile(r"(?s)(.+\.py):([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)")
DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")
FAILURES = (
    ImportError, SyntaxError, NameError, AttributeError, TypeError, ValueError, LookupError, ArithmeticError, RuntimeError,
    AssertionError, OSError,
)  # fmt: skip

files: dict[str, Path] = {}  # of each module that was imported from a file


def check_ours() -> None:
    """Refuse to work where another package is found under the name of one of ours.

    Raises:
        ValueError: names it.
    """
    ours = Path(__file__).parents[1]
    for name in OURS:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None or Path(spec.origin).parents[1] != ours:
            found = "no package" if spec is None else spec.origin or [*(spec.submodule_search_locations or [])]
            raise ValueError(
                f"expected this program's own package {name} in {ours}, found {found}; take that folder off Python's path (PYTHONPATH), "
                "or start in another folder"
            )


def resolve(name: str) -> Any:
    """The class or function of a name.

    Raises:
        ValueError: there is none; says what was missing.
    """
    match = FILE.fullmatch(name)
    module, attributes = (load(Path(match[1])), match[2].split(".")) if match else _module(name)
    try:
        return reduce(getattr, attributes, module)
    except AttributeError as error:
        near = difflib.get_close_matches(error.name, getattr(error.obj, "__all__", dir(error.obj)))
        hint = f"; like it are {', '.join(near)}" if near else ""
        raise ValueError(f"{name}: expected a class there, found none of this name{hint}") from error


def _module(name: str) -> tuple[ModuleType, list[str]]:
    """The longest part of a dotted name that is a module, and the rest."""
    if not DOTTED.fullmatch(name):
        raise ValueError(f"{name}: expected package.module.Class or path/to/file.py:Class")
    parts = name.split(".")
    for length in range(len(parts) - 1, 0, -1):
        module = ".".join(parts[:length])
        try:
            return importlib.import_module(module), parts[length:]
        except FAILURES as error:
            missing = error.name if isinstance(error, ModuleNotFoundError) else None
            if not missing or not f"{module}.".startswith(f"{missing}."):  # of what it imports itself
                raise ValueError(f"{name}: cannot be imported: {_reason(error)}") from error
    raise ValueError(f"{name}: there is no module {parts[0]!r} on Python's path; a file is named path/to/file.py:Class")


def load(path: Path) -> ModuleType:
    """The module of a file, which is imported once.

    Raises:
        ValueError: there is no such file, it cannot be imported, or what it imports from its folder is hidden by another file's.
    """
    path = path.absolute().resolve()
    name = f"file_{checksum(str(path).encode())[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    if not path.is_file():
        raise ValueError(f"{path}: no such file; a class of your own is named path/to/file.py:Class")
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None, "the suffix .py has a loader"
    try:
        _look_beside(path)
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    except FAILURES as error:
        sys.modules.pop(name, None)
        raise ValueError(f"{path} cannot be imported: {_reason(error, path)}") from error
    files[name] = path
    documentation.restore(module)
    return module


def _look_beside(path: Path) -> None:
    """Say which modules beside a file it will not get, as others of their name are found first; refuse another user's file."""
    for name, found in imported(path, path.parent).hidden.items():
        beside = f"{name} beside {path} is hidden by {found}"
        if name not in OURS and found.parent in (file.parent for file in files.values()):
            raise ValueError(f"{beside}, which another file of this configuration has imported; rename one of them")
        say(f"{beside}; import {name} means that one, so give yours another name if you want it")


def _reason(error: BaseException, path: Path | None = None) -> str:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if path and frame.filename == str(path)]
    line = f"line {lines[-1]}: " if lines else ""
    return f"{line}{type(error).__name__}: {' '.join(str(error).split())}"


def may_name(value: object) -> bool:
    """Whether a value could have something imported, known without importing anything."""
    if not isinstance(value, str):
        return False
    return bool(FILE.fullmatch(value)) or bool(DOTTED.fullmatch(value) and importlib.util.find_spec(value.split(".")[0]))


def module_of(name: str) -> ModuleType:
    """The module that a class or function is defined in; of a file, that of the file.

    Raises:
        ValueError: there is no such class.
    """
    if match := FILE.fullmatch(name):
        resolve(name)
        return load(Path(match[1]))
    found = resolve(name)
    if inspect.isclass(found) or inspect.isroutine(found):
        return sys.modules[found.__module__]
    return _module(name)[0]


def whole(name: str) -> str:
    """The name with the whole path of its file."""
    match = FILE.fullmatch(name)
    return f"{Path(match[1]).absolute().resolve()}:{match[2]}" if match else name
