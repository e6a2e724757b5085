"""The samples that an experiment or a forecast is of, from the options that name a source and what belongs to it."""

import inspect
from typing import TYPE_CHECKING, Any

from study import outside

if TYPE_CHECKING:
    from datamodules.sources import Source

NAMES: dict[str, tuple[str, dict[str, str]]] = {
    "builtin": ("datamodules.sources.Builtin", {}),
    **{name: ("datamodules.sources.Torchvision", {"name": name}) for name in ("cifar10", "cifar100", "stl10")},
    "folder": ("datamodules.sources.Folder", {}),
    "parquet": ("datamodules.sources.Parquet", {}),
    "arrays": ("datamodules.sources.Arrays", {}),
}


def check_images(images: str) -> None:
    """Raises ValueError: the name of no source, nor of a class."""
    if images not in NAMES and "." not in images:
        raise ValueError(f"unknown images {images!r}; choose one of {', '.join(NAMES)}, or give the class of your own source")


def source(images: str, options: dict[str, Any]) -> dict[str, Any]:
    """The configuration of a source.

    Args:
        images: one of NAMES, or a class by package.module.Class or path/to/file.py:Class.
        options: arguments of its constructor, by name.

    Raises:
        ValueError: there is no such class, it lacks an option that it needs, or was given one that it does not take.
    """
    check_images(images)
    path, named = NAMES.get(images, (images, {}))
    found = outside.resolve(path)
    if not inspect.isclass(found):
        raise ValueError(f"images {images!r} is no class, found {found!r}; choose one of {', '.join(NAMES)}, or a class")
    takes = inspect.signature(found).parameters
    for name, value in options.items():
        if name not in takes:
            raise ValueError(f"{name} = {value} has no meaning for images {images}; leave it out")
    given = named | options
    if missing := [name for name, p in takes.items() if p.default is p.empty and name not in given]:
        raise ValueError(f"images {images} need {missing[0]}; give --{missing[0]}")
    return {"class_path": path, "init_args": given}


def made(config: dict[str, Any]) -> "Source":
    """The source of a configuration.

    Raises:
        ValueError: it is none, or its options are impossible.
    """
    import jsonargparse

    from datamodules.sources import Source
    from study import arguments

    try:
        return arguments.made(Source, config)
    except (jsonargparse.ArgumentError, ValueError, TypeError) as error:
        raise ValueError(arguments.essence(str(error))) from error
