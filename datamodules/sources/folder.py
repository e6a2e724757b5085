"""Images as files: one sub-folder per class or none, optionally under folders that are named after splits."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import torch

from datamodules.messages import printable, say
from datamodules.order import balanced
from datamodules.sources.pictures import Pictures
from datamodules.splits import NAMES, Listed, Listing, Split, content, listed, same_classes, used

ONLY = "images"  # name of the class of a folder that holds no folders
EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".tif", ".tiff", ".bmp")


class Folder(Pictures):
    """Pictures as files, one sub-folder per class or none (`folder`)."""

    @property
    def labelled(self) -> bool:
        folders = _folders(self.checked_root())
        splits = [path for path in folders if path.name.lower() in NAMES]
        return len(_folders(splits[0]) if splits else folders) > 1

    def files(self) -> list[Path]:
        return pictures(self.checked_root())

    def load(self) -> dict[str, Split]:
        return self.decoded(folder)


def folder(root: Path) -> Listing:
    """Lists root/CLASS/... or root/SPLIT/CLASS/...; without splits, a fifth is held out as test in the order of `balanced`.

    Where there are fewer than two classes, all images are of one, which no probe can be fitted to.

    Raises:
        ValueError: one line that names what cannot be read, or the class or split that is missing.
    """
    skipped = Counter[str]()
    folders = _folders(root)
    named = [path for path in folders if path.name.lower() in NAMES]
    if named and len(named) < len(folders):
        other = next(path for path in folders if path not in named)
        raise ValueError(
            f"{printable(root)}: {named[0].name} is the name of a split and lies beside {printable(other.name, 80)}, which is not; "
            "expected splits alone or classes alone"
        )
    if named:
        paths = {NAMES[path.name.lower()]: path for path in named}
        if len(paths) < len(named):
            raise ValueError(
                f"{printable(root)}: {' and '.join(path.name for path in named)} name a split twice; keep one of each"
            )
        _outside(root, skipped)
        files = {name: _classes(paths[split], skipped) for split, name in used(root, paths).items()}
        classes = same_classes(root, {name: list(found) for name, found in files.items()})
        splits = {name: _listed([(p, c) for c, k in enumerate(classes) for p in found[k]]) for name, found in files.items()}
    else:
        found = _classes(root, skipped)
        classes = tuple(found)
        whole = [(path, c) for c, name in enumerate(classes) for path in found[name]]
        order = balanced(torch.tensor([label for _, label in whole])).tolist()
        held = max(1, len(order) // 5)
        splits = {"train": _listed([whole[i] for i in order[:-held]]), "test": _listed([whole[i] for i in order[-held:]])}
    for what, count in skipped.items():
        say(f"{count:,} {what} in {printable(root)} {'is' if count == 1 else 'are'} skipped")
    return Listing(splits, classes)


def pictures(root: Path) -> list[Path]:
    """The image files anywhere in a folder.

    Raises:
        ValueError: as `folder`.
    """
    return [Path(path) for path in _files(root, Counter(), ())]


def _listed(images: list[tuple[str, int]]) -> Listed:
    return Listed(((printable(path), content(path)) for path, _ in images), [label for _, label in images])


def _folders(root: Path) -> list[Path]:
    """The folders in `root`, links included, without hidden ones."""
    return [Path(entry.path) for entry in _visible(root, Counter()) if entry.is_dir()]


def _outside(root: Path, skipped: Counter[str]) -> None:
    """Counts what lies beside the folders of splits or classes."""
    skipped.update("file(s) outside of the classes" for entry in _visible(root, skipped) if not entry.is_dir())


def _visible(path: Path, skipped: Counter[str]) -> Iterator[os.DirEntry[str]]:
    """What is in a folder, without what systems and programs hide there, such as ._x.png and .ipynb_checkpoints."""
    for entry in listed(path):
        if entry.name.startswith("."):
            skipped["hidden file(s) or folder(s)"] += 1
        else:
            yield entry


def _classes(root: Path, skipped: Counter[str]) -> dict[str, list[str]]:
    """The image files of each sub-folder of `root`, or all of them where it has not two."""
    folders = _folders(root)
    if len(folders) < 2:
        found = {folders[0].name if folders else ONLY: list(_files(root, skipped, ()))}
        if not any(found.values()):
            kinds = f"files ending in {' '.join(EXTENSIONS)}"
            raise ValueError(f"{printable(root)}: no images; expected {kinds}, in one sub-folder per class or without")
        say(f"{printable(root)} has no sub-folders for two classes or more: its images are of one")
        return found
    _outside(root, skipped)
    found = {path.name: list(_files(path, skipped, ())) for path in folders}
    for name, files in found.items():
        if not files:
            raise ValueError(f"{printable(root / name)}: no images; expected files ending in {' '.join(EXTENSIONS)}")
    return found


def _files(path: Path, skipped: Counter[str], above: tuple[str, ...]) -> Iterator[str]:
    """The image files of a folder and of those in it; links are followed.

    Raises:
        ValueError: a link leads back to a folder that it lies in.
    """
    real = os.path.realpath(path)
    if real in above:
        raise ValueError(f"{printable(path)}: a link that leads back to a folder it lies in; remove it")
    for entry in _visible(path, skipped):
        if entry.is_dir():
            yield from _files(Path(entry.path), skipped, (*above, real))
        elif entry.name.lower().endswith(EXTENSIONS):
            yield entry.path
        else:
            skipped["file(s) of other kinds"] += 1
