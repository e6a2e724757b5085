"""What a file of Python imports from the folder it was found in, by its text alone."""

import ast
import importlib.util
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Imports:
    """Files that are imported, directly or not, the first one included; and by name what lies in the folder but is found elsewhere
    first, with that place."""

    files: set[Path] = field(default_factory=set)
    hidden: dict[str, Path] = field(default_factory=dict)


def imported(path: Path, root: Path) -> Imports:
    """The imports of a module's file from the folder `root`, where modules are found by their names."""
    found, waiting = Imports(), [path]
    while waiting:
        file = waiting.pop()
        if file in found.files:
            continue
        found.files.add(file)
        package = file.parent.relative_to(root).parts
        for node in ast.walk(ast.parse(file.read_bytes())):
            names: list[tuple[str, ...]] = []
            if isinstance(node, ast.Import):
                names = [tuple(alias.name.split(".")) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = package[: len(package) - node.level + 1] if node.level else ()
                module = (*base, *(node.module.split(".") if node.module else ()))
                names = [module, *((*module, alias.name) for alias in node.names)]
            for name in filter(None, names):
                files = [file for length in range(1, len(name) + 1) for file in _candidates(root.joinpath(*name[:length]))]
                if files and (other := _elsewhere(name[0], root)):
                    found.hidden[name[0]] = other
                else:
                    waiting += files
    return found


def _candidates(stem: Path) -> list[Path]:
    """The file of a module or package of this name, if there is one; packages are imported with what is in them."""
    return [path for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.is_file()]


def _elsewhere(name: str, root: Path) -> Path | None:
    """Where Python finds the module of this name, if that is not in the folder."""
    spec = importlib.util.find_spec(name)
    if spec is None:
        return None
    places = {
        Path(place) for place in spec.submodule_search_locations or [spec.origin or name]
    }  # a word, of one that is built in
    return None if places & {root / name, root / f"{name}.py"} else min(places)
