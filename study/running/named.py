"""What a configuration names by class_path and init_args, made without the parser of `study fit`: of the lists of a stack of
networks, which that checks number by number, it takes seconds."""

import inspect
import pkgutil
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")


def named(part: str, given: Any, base: type[T]) -> partial[T]:
    """Makes the object when it is called; its `keywords` are the class's defaults and what was given.

    Raises:
        ValueError: there is no such class, it is not derived from `base`, or takes other options; names the part.
    """
    match given:
        case {"class_path": str(name)} if given.keys() <= {"class_path", "init_args"}:
            options = given.get("init_args") or {}
        case _:
            raise ValueError(f"{part}: expected class_path and init_args, found {given!r:.60}")
    try:
        kind = pkgutil.resolve_name(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"{part}: expected the name of a class, package.module.Class, found {error}") from error
    if not (isinstance(kind, type) and issubclass(kind, base)):
        raise ValueError(f"{part}: expected {base.__name__} or a class derived from it, found {name}")
    signature = inspect.signature(kind)
    try:
        signature.bind(**options)
    except TypeError as error:
        raise ValueError(f"{part}: {name} has other options: {error}") from error
    defaults = {p.name: p.default for p in signature.parameters.values() if p.default is not p.empty}
    return partial(kind, **{**defaults, **options})
