"""What a run depends on besides its configuration: the content of its data's files, and the source of classes from outside this
program. They are part of its identity, so that an old result is not taken for one of other pictures or of other code.
"""

import hashlib
import importlib.metadata
import json
import os
import re
import sys
import sysconfig
import time
from pathlib import Path
from typing import Any

from datamodules import seen
from study import naming, outside
from study.files import checksum, write
from study.imports import imported
from study.running import own
from study.terminal import say

LARGE = 2**30  # bytes that take seconds to read


def known(config: Any, files: list[Path]) -> dict[str, str]:
    """All that a run with this configuration, whose data are read from these files, depends on besides.

    Raises:
        ValueError: it names a class that there is not.
    """
    return code(config) | ({"data": fingerprint(files)} if files else {})


def code(config: Any) -> dict[str, str]:
    """By name, each class or function of a configuration from outside this program: the checksum of its source and of what that
    imports, or where it is installed that of its own file with its package's version.

    Raises:
        ValueError: there is no such class.
    """
    found = {}
    for key, name in set(naming.leaves(config)):
        if (key != "class_path" and not outside.may_name(name)) or name.split(".")[0] in outside.OURS:
            continue
        try:
            found[f"class {portable(name)}"] = source(name)
        except ValueError:
            if key == "class_path":
                raise  # any other text need not be a name
    return found


def portable(config: Any) -> Any:
    """A configuration in which files with classes are named by their content: the same in another place is the same run."""
    if isinstance(config, dict):
        return {name: portable(part) for name, part in config.items()}
    if isinstance(config, list):
        return [portable(part) for part in config]
    if isinstance(config, str) and (match := outside.FILE.fullmatch(config)):
        return f"{Path(match[1]).name}:{match[2]} {source(config)[:12]}"
    return config


def source(name: str) -> str:
    """Checksum of the source of a class or function.

    Raises:
        ValueError: there is no such class.
    """
    module = outside.module_of(name)
    path = Path(module.__file__ or "").resolve()
    if any(path.is_relative_to(sysconfig.get_path(place)) for place in ("purelib", "platlib", "stdlib")):
        distribution = importlib.metadata.packages_distributions().get(module.__name__.split(".")[0])
        version = f"{distribution[0]} {importlib.metadata.version(distribution[0])}" if distribution else sys.version
        return f"{version}, {checksum(path.read_bytes())}"
    root = path.parents[module.__name__.count(".") + (path.name == "__init__.py")]
    files = sorted(imported(path, root).files)
    return checksum(json.dumps({str(file.relative_to(root)): checksum(file.read_bytes()) for file in files}).encode())


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
