"""How a configuration names classes: as users and files do, and as the parser does, which knows dotted names and classes alone.

Written are `package.module.Class` and `path/to/file.py:Class`, files by their whole path. For the parser a file's classes are those
of a module, and a function that takes arguments is a class that calls it.
"""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType
from typing import Any, get_type_hints

from jsonargparse.typing import class_from_function

from study.outside import DOTTED, FAILURES, FILE, files, load, resolve

_functions: dict[str, str] = {}  # by the name of the class that stands for it


def internal(value: Any) -> Any:
    """A configuration as the parser takes it: files by the names of their modules, functions as classes that call them.

    Raises:
        ValueError: a class cannot be imported, or a function does not say what it returns.
    """
    if isinstance(value, list):
        return [internal(part) for part in value]
    if isinstance(value, dict):
        made = {name: internal(part) for name, part in value.items()}
        if isinstance(path := value.get("class_path"), str) and (FILE.fullmatch(path) or DOTTED.fullmatch(path)):
            made["class_path"] = _class(path)
        return made
    if isinstance(value, str) and (match := FILE.fullmatch(value)):
        resolve(value)
        return f"{load(Path(match[1])).__name__}.{match[2]}"
    return value


def _class(name: str) -> str:
    """The dotted name of a class, or of one that stands for a function and has its arguments: the parser would take what the
    function makes for what is to make a network."""
    found, dotted = resolve(name), internal(name)
    if not isinstance(found, FunctionType):
        return dotted
    try:
        returned = get_type_hints(found).get("return")
    except FAILURES:
        returned = None
    if not isinstance(returned, type):
        raise ValueError(f"{name}: expected a class, or a function that says which class it makes, such as `-> nn.Module`")
    if inspect.isabstract(returned):
        return dotted
    stand_in = class_from_function(found, returned, re.sub(r"\W", "_", dotted))
    _functions[made := f"{__name__}.{stand_in.__name__}"] = external(dotted)
    return made


def external(value: Any) -> Any:
    """A configuration as it is written: the inverse of `internal`, with whole paths."""
    if isinstance(value, dict):
        return {name: external(part) for name, part in value.items()}
    if isinstance(value, list):
        return [external(part) for part in value]
    if not isinstance(value, str):
        return value
    module, _, rest = value.partition(".")
    return f"{files[module]}:{rest}" if module in files else _functions.get(value, value)


def argument(text: str) -> str:
    """An argument of the command line as the parser takes it, which may be a name or end with one."""
    option, equals, value = text.partition("=") if text.startswith("--") else ("", "", text)
    return f"{option}{equals}{internal(value)}"


def shown(message: str) -> str:
    """A message of the parser with the names that the user gave."""
    for made, name in (*_functions.items(), *((f"{module}.", f"{path}:") for module, path in files.items())):
        message = message.replace(made, name)
    return message


def leaves(config: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """The values of a configuration that are neither mapping nor list, each with its key."""
    if isinstance(config, dict | list):
        for name, part in config.items() if isinstance(config, dict) else ((key, part) for part in config):
            yield from leaves(part, name)
    else:
        yield key, config
