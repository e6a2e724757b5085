"""Images as files: one sub-folder per class or none, optionally under folders that are named after splits."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from datamodules.decoding import MOST_PIXELS
from datamodules.messages import printable, say
from datamodules.sources.pictures import Pictures
from datamodules.splits import NAMES, Listed, Listing, Split, content, listed, same_classes, used

ONLY = "images"  # name of the class of a folder that holds no folders
EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".tif", ".tiff", ".bmp")


class Folder(Pictures):
    """Pictures as files, one sub-folder per class or none (`folder`).

    Args:
        root: see Pictures.
        size: see Pictures.
        bad_files: see Pictures.
        most_pixels: see Pictures.
        groups: pictures that belong together, such as frames of one recording or pictures of one person, and stay so where a test or
            validation split is held out: "none", or "folder", those in one sub-folder of a class (of classes, where the sub-folders
            have the same name). What lies in a class outside of its sub-folders is by itself.
    """

    def __init__(
        self,
        root: Path,
        size: int = 16,
        bad_files: float = 0.0,
        most_pixels: int = MOST_PIXELS,
        groups: Literal["none", "folder"] = "none",
    ) -> None:
        super().__init__(root, size, bad_files, most_pixels)
        self.groups = groups

    @property
    def labelled(self) -> bool:
        folders = _folders(self.checked_root())
        splits = [path for path in folders if path.name.lower() in NAMES]
        return len(_folders(splits[0]) if splits else folders) > 1

    def files(self) -> list[Path]:
        return pictures(self.checked_root())

    def load(self) -> dict[str, Split]:
        return self.decoded(folder, self.groups)


def folder(root: Path, groups: str = "none") -> Listing:
    """Lists root/CLASS/... or root/SPLIT/CLASS/...; without splits, all is for training, of which a test split is held out later.

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
        roots = {name: paths[split] for split, name in used(root, paths).items()}
    else:
        roots = {"train": root}
    files = {name: _classes(path, skipped) for name, path in roots.items()}
    if groups == "folder":
        files = {name: _recordings(roots[name], found) for name, found in files.items()}
    classes = same_classes(root, {name: list(found) for name, found in files.items()})
    for what, count in skipped.items():
        say(f"{count:,} {what} in {printable(root)} {'is' if count == 1 else 'are'} skipped")
    splits = {}
    for name, found in files.items():
        images = [(path, label) for label, k in enumerate(classes) for path in found[k]]
        encoded = ((printable(path), content(path)) for path, _ in images)
        numbers = _groups(roots[name], found) if groups == "folder" else None
        splits[name] = Listed(encoded, [label for _, label in images], numbers)
    return Listing(splits, classes)


def pictures(root: Path) -> list[Path]:
    """The image files anywhere in a folder.

    Raises:
        ValueError: as `folder`.
    """
    return [Path(path) for path in _files(root, Counter(), ())]


def _recordings(root: Path, found: dict[str, list[str]]) -> dict[str, list[str]]:
    """The same files, as one class where no class has sub-folders: its folders are recordings then."""
    if len(found) < 2 or any(
        os.sep in path.removeprefix(f"{root / label}{os.sep}") for label in found for path in found[label]
    ):
        return found
    say(
        f"{printable(root)}: its {len(found):,} folders have none in them, so each is taken for a recording, and none for a class"
    )
    return {ONLY: [path for label in found for path in found[label]]}


def _groups(root: Path, found: dict[str, list[str]]) -> list[int]:
    """Of the files of each class in `root`: the number of the sub-folder of the class, or of the root where that has no classes, that a
    file lies in, or one of its own.

    Raises:
        ValueError: no class has sub-folders.
    """
    names = []
    for label, files in found.items():
        start = f"{root / label}{os.sep}" if (root / label).is_dir() else f"{root}{os.sep}"
        inside = (path.removeprefix(start).partition(os.sep) if path.startswith(start) else ("", "", "") for path in files)
        names += [folder if more else path for path, (folder, _, more) in zip(files, inside, strict=True)]
    number = {name: i for i, name in enumerate(sorted(set(names)))}
    folders = sum(os.sep not in name for name in number)
    if not folders:
        raise ValueError(
            f"{printable(root)}: groups are folders, and no class has any; expected {printable(next(iter(found)), 80)}/GROUP/..., or "
            "leave groups out"
        )
    say(f"{folders:,} groups of images in {printable(root)}: each stays whole where a split is held out")
    return [number[name] for name in names]


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
            raise ValueError(
                f"{printable(root / name)}: no images, while each of the {len(folders)} sub-folders of {printable(root)} is taken for a "
                f"class; expected files ending in {' '.join(EXTENSIONS)} in it, or a folder of classes alone"
            )
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
