"""What a run depends on besides its configuration: the content of its data's files, and the source of classes from outside this
program. They are part of its identity, so that an old result is not taken for one of other pictures or of other code.
"""

import ast
import hashlib
import importlib.metadata
import json
import os
import pkgutil
import re
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datamodules import seen
from study.files import checksum, write
from study.running import own
from study.terminal import say

OURS = {"datamodules", "models", "study"}
LARGE = 2**30  # bytes that take seconds to read


def code(config: Any) -> dict[str, str]:
    """By name, each class of a configuration from outside this program: the checksum of its source and of what that imports, or
    where it is installed that of its own file with its package's version.

    Raises:
        ValueError: there is no such class.
    """
    named = sorted({name for name in classes(config) if isinstance(name, str)})
    return {f"class {name}": _source(name) for name in named if name.split(".")[0] not in OURS}


def classes(config: object) -> Iterator[object]:
    """What a configuration names as classes, and as the function that makes a stack's network, which is a name by itself. In a file
    from elsewhere these can be anything."""
    if isinstance(config, dict):
        yield from (
            value for name, value in config.items() if name == "class_path" or (name == "network" and isinstance(value, str))
        )
    for part in config.values() if isinstance(config, dict) else config if isinstance(config, list) else ():
        yield from classes(part)


def _source(name: str) -> str:
    try:
        made = pkgutil.resolve_name(name)
        path = Path(sys.modules[made.__module__].__file__ or "").resolve()
    except (ImportError, AttributeError, KeyError, ValueError) as error:
        raise ValueError(f"{name}: expected the name of a class, package.module.Class, found {error}") from error
    top = made.__module__.split(".")[0]
    if any(path.is_relative_to(sysconfig.get_path(place)) for place in ("purelib", "platlib", "stdlib")):
        distribution = importlib.metadata.packages_distributions().get(top)
        version = f"{distribution[0]} {importlib.metadata.version(distribution[0])}" if distribution else sys.version
        return f"{version}, {checksum(path.read_bytes())}"
    root = path.parents[made.__module__.count(".") + (path.name == "__init__.py")]
    return checksum(json.dumps({str(p.relative_to(root)): checksum(p.read_bytes()) for p in _imported(path, root)}).encode())


def _imported(path: Path, root: Path) -> list[Path]:
    """A module's file and those that it imports, directly or not, from the folder `root` it was found in."""
    found: set[Path] = set()
    waiting = [path]
    while waiting:
        file = waiting.pop()
        if file in found:
            continue
        found.add(file)
        package = file.parent.relative_to(root).parts
        for node in ast.walk(ast.parse(file.read_bytes())):
            names: list[tuple[str, ...]] = []
            if isinstance(node, ast.Import):
                names = [tuple(alias.name.split(".")) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = package[: len(package) - node.level + 1] if node.level else ()
                module = (*base, *(node.module.split(".") if node.module else ()))
                names = [module, *((*module, alias.name) for alias in node.names)]
            for name in names:
                for length in range(1, len(name) + 1):  # packages are imported with what is in them
                    stem = root.joinpath(*name[:length])
                    waiting += [p for p in (stem.with_suffix(".py"), stem / "__init__.py") if p.is_file()]
    return sorted(found)


def fingerprint(files: list[Path]) -> str:
    """Checksum of files, of their names and what is in them. It is kept in the user's own folder under the names, sizes, times and
    numbers of the files, so that only files that look changed are read again."""
    looks = seen.look(files)
    folder = own.folder()
    kept = folder and folder / "content" / checksum(json.dumps(looks).encode())
    if kept and kept.is_file() and re.fullmatch(r"[0-9a-f]{64}", known := kept.read_text(errors="replace")):
        return known
    size = sum(each.size for each in looks)
    if size > LARGE:
        say(f"reading {len(files):,} files, {size / 2**30:.1f} GB, to know the data by their content")
    start, total = time.time(), hashlib.sha256()
    root = os.path.commonpath([os.path.dirname(each.name) for each in looks]) if looks else ""
    for name, *_ in looks:
        with open(name, "rb") as file:
            total.update(json.dumps([os.path.relpath(name, root), hashlib.file_digest(file, "sha256").hexdigest()]).encode())
    if kept and seen.settled(looks, start):
        try:
            kept.parent.mkdir(exist_ok=True)
            write(kept, total.hexdigest())
        except OSError:
            pass  # it is read again next time
    return total.hexdigest()
