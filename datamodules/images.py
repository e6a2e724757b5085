"""Image sources behind one function: decoded once into uint8 tensors, with labels and three splits."""

import io
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pyarrow
import pyarrow.parquet
import torch
import torchvision
from jaxtyping import Int, UInt8
from PIL import Image
from torch import Tensor
from torchvision.datasets.folder import has_file_allowed_extension

from datamodules import random
from datamodules.shapes import shapes

Source = Literal["builtin", "cifar10", "cifar100", "stl10", "folder", "parquet"]
EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".gif")
BUILTIN_TRAIN, BUILTIN_TEST = 25_000, 5_000


@dataclass(frozen=True)
class Split:
    images: UInt8[Tensor, "n 3 h w"]
    labels: Int[Tensor, "n"]


def files(source: str, root: Path | None) -> list[Path]:
    """The files of a source that its images are read from; none of what is built in, or is torchvision's, which checks its own.

    Raises:
        ValueError: the folder is missing.
    """
    if source not in ("folder", "parquet"):
        return []
    if root is None or not Path(root).is_dir():
        raise ValueError(f"{root}: no such folder; image source {source!r} expects its files there")
    if source == "parquet":
        return sorted(path for split in ("train", "test") for path in Path(root).glob(f"{split}*.parquet"))
    return sorted(path for path in Path(root).rglob("*") if has_file_allowed_extension(path.name, EXTENSIONS))


@lru_cache(maxsize=2)
def load(source: str, root: Path | None = None, download: bool = False) -> dict[str, Split]:
    """The splits "train" and "test" of a source; decoded once per process.

    Args:
        source: "builtin" (datamodules.shapes), a torchvision set, "folder" (one sub-folder per class, optionally under
            train/ and test/; without these every fifth image is held out) or "parquet" (train*.parquet and
            test*.parquet with columns img: struct<bytes, path> and label: int).
        root: where the files lie; needed by all sources but "builtin".
        download: let torchvision fetch its set into `root`.

    Raises:
        ValueError: one line that names the file and says what was expected.
    """
    if source not in get_args(Source):
        raise ValueError(f"unknown image source {source!r}; choose one of {', '.join(get_args(Source))}")
    if source == "builtin":
        return {
            "train": Split(*shapes(BUILTIN_TRAIN)),
            "test": Split(*shapes(BUILTIN_TEST, first=BUILTIN_TRAIN)),
        }
    if root is None:
        raise ValueError(f"image source {source!r} needs a root folder; give --root FOLDER")
    root = Path(root)
    if not root.is_dir() and not download:
        raise ValueError(f"{root}: no such folder; image source {source!r} expects its files there")
    if source == "folder":
        splits = _folder(root)
    elif source == "parquet":
        splits = {name: _parquet(root, name) for name in ("train", "test")}
    else:
        splits = _torchvision(source, root, download)
    sides = {name: tuple(split.images.shape[2:]) for name, split in splits.items()}
    if sides["train"] != sides["test"]:
        raise ValueError(f"{root}: train images are {sides['train']} pixels but test images {sides['test']}; use one size")
    return splits


def _torchvision(source: str, root: Path, download: bool) -> dict[str, Split]:
    make = {
        "cifar10": lambda train: torchvision.datasets.CIFAR10(root, train, download=download),
        "cifar100": lambda train: torchvision.datasets.CIFAR100(root, train, download=download),
        "stl10": lambda train: torchvision.datasets.STL10(root, "train" if train else "test", download=download),
    }[source]
    try:
        sets = {"train": make(True), "test": make(False)}
    except RuntimeError as error:  # torchvision's word for a set that is missing or fails its checksum
        raise ValueError(f"{root}: {source} is missing or incomplete there ({error}); give --download") from error
    except (OSError, EOFError) as error:
        raise ValueError(f"{root}: {source} could not be read or downloaded ({error})") from error
    splits = {}
    for name, data in sets.items():
        images = torch.from_numpy(data.data)
        images = images if source == "stl10" else images.permute(0, 3, 1, 2)
        labels = data.labels if source == "stl10" else data.targets
        splits[name] = Split(images.contiguous(), torch.as_tensor(labels).long())
    return splits


def _decode(encoded: bytes, name: str, like: Tensor | None) -> UInt8[Tensor, "3 h w"]:
    """Decode one image as RGB and hold it against the size of the first one."""
    try:
        with Image.open(io.BytesIO(encoded)) as opened:
            image = torch.from_numpy(np.array(opened.convert("RGB"))).permute(2, 0, 1)
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises on damaged files
        raise ValueError(f"{name}: cannot be decoded; expected a whole PNG, JPEG, WebP or GIF image") from error
    if like is not None and image.shape != like.shape:
        raise ValueError(f"{name}: {tuple(image.shape[1:])} pixels, expected {tuple(like.shape[1:])} as in the first image")
    return image


def _stack(named: list[tuple[str, bytes]]) -> UInt8[Tensor, "n 3 h w"]:
    first = _decode(named[0][1], named[0][0], None)
    images = torch.empty(len(named), *first.shape, dtype=torch.uint8)
    for i, (name, encoded) in enumerate(named):
        images[i] = _decode(encoded, name, first)
    return images


def _parquet(root: Path, split: str) -> Split:
    files = sorted(root.glob(f"{split}*.parquet"))
    if not files:
        raise ValueError(f"{root}: no {split}*.parquet there; expected train*.parquet and test*.parquet")
    named: list[tuple[str, bytes]] = []
    labels: list[int] = []
    for file in files:
        try:
            schema = pyarrow.parquet.read_schema(file)
            if "img" not in schema.names or "label" not in schema.names:
                raise ValueError(f"{file}: has columns {', '.join(schema.names)}; expected img and label")
            image_type, label_type = schema.field("img").type, schema.field("label").type
            if not pyarrow.types.is_struct(image_type) or image_type.get_field_index("bytes") < 0:
                raise ValueError(f"{file}: column img is {image_type}; expected struct<bytes: binary, path: string>")
            if not pyarrow.types.is_integer(label_type):
                raise ValueError(f"{file}: column label is {label_type}; expected an integer")
            table = pyarrow.parquet.read_table(file, columns=["img", "label"])
        except (pyarrow.ArrowException, OSError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"{file}: not a readable parquet file ({reason})") from error
        rows = table.column("img").combine_chunks().field("bytes").to_pylist()
        named += [(f"{file} row {i}", row or b"") for i, row in enumerate(rows)]
        values = table.column("label").to_pylist()
        if None in values or min(values, default=0) < 0:
            raise ValueError(f"{file}: column label holds missing or negative values; expected class numbers from 0")
        labels += values
    if not named:
        raise ValueError(f"{root}: {split}*.parquet hold no rows; expected at least one image")
    return Split(_stack(named), torch.tensor(labels))


def _folder(root: Path) -> dict[str, Split]:
    if (root / "train").is_dir() and (root / "test").is_dir():
        classes = _classes(root / "train")
        if (test := _classes(root / "test")) != classes:
            raise ValueError(f"{root}: train has classes {', '.join(classes)} but test has {', '.join(test)}")
        return {name: _read_folder(root / name, classes) for name in ("train", "test")}
    whole = _read_folder(root, _classes(root))
    # Held out by a random order that is the same for everyone, so that no class is left out.
    order = random.bits([random.key(0)], len(whole.labels))[0].argsort()
    held = max(1, len(order) // 5)
    return {
        "train": Split(whole.images[order[held:]], whole.labels[order[held:]]),
        "test": Split(whole.images[order[:held]], whole.labels[order[:held]]),
    }


def _classes(root: Path) -> list[str]:
    classes = sorted(p.name for p in root.iterdir() if p.is_dir())
    if len(classes) < 2:
        raise ValueError(f"{root}: found {len(classes)} sub-folders; expected one per class, at least two")
    return classes


def _read_folder(root: Path, classes: list[str]) -> Split:
    files = {c: sorted(p for p in (root / c).rglob("*") if has_file_allowed_extension(p.name, EXTENSIONS)) for c in classes}
    for name, members in files.items():
        if not members:
            raise ValueError(f"{root / name}: no images; expected files ending in {' '.join(EXTENSIONS)}")
    named = [(str(p), p.read_bytes()) for members in files.values() for p in members]
    labels = [number for number, members in enumerate(files.values()) for _ in members]
    return Split(_stack(named), torch.tensor(labels))
