"""The samples that an experiment or a forecast is of, from the options that name a source and what belongs to it."""

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study import outside
from study.terminal import escaped

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


def source(images: str, options: dict[str, Any], preferred: dict[str, Any] | None = None) -> dict[str, Any]:
    """The configuration of a source.

    Args:
        images: one of NAMES, or a class by package.module.Class or path/to/file.py:Class.
        options: arguments of its constructor, by name.
        preferred: further ones, for sources that take them.

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
    given = named | {name: value for name, value in (preferred or {}).items() if name in takes} | options
    if missing := [name for name, p in takes.items() if p.default is p.empty and name not in given]:
        raise ValueError(f"images {images} need {missing[0]}; give --{missing[0]}")
    return {"class_path": path, "init_args": given}


def named(data: str, root: Path | None = None) -> tuple[str, dict[str, Any]]:
    """Which source reads what a user names, as `images` and `options` of `source`; a set, or a class, has its files in `root`.

    Raises:
        ValueError: there is no such folder, file, set or class.
    """
    path = Path(data)
    sets = ["builtin", *(name for name, (_, options) in NAMES.items() if options)]
    if data in sets:
        return data, {} if root is None else {"root": str(root)}
    if root is not None and path.exists():
        raise ValueError(f"{escaped(data)} is a folder or file itself; leave --root out")
    if path.suffix.lower() in (".npy", ".npz"):
        return "arrays", {"root": data}
    if path.is_dir():
        return "parquet" if any(p.suffix.lower() == ".parquet" for p in path.iterdir()) else "folder", {"root": data}
    if outside.may_name(data):
        return data, {} if root is None else {"root": str(root)}
    raise ValueError(
        f"{escaped(data)[:200]}: found no such folder or file; expected a folder of pictures or of *.parquet, a .npy or .npz file, or "
        f"one of {', '.join(sets)}"
    )


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
