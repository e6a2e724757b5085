"""Images as tables: files train*.parquet, test*.parquet with columns img: struct<bytes, path> and label: int."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow
import pyarrow.parquet

from datamodules.messages import printable, reason, say
from datamodules.sources.pictures import Pictures
from datamodules.splits import NAMES, Listed, Listing, Split, listed, same_classes, used

ROWS = 1024  # read at once


class Parquet(Pictures):
    """Pictures in tables (`parquet`)."""

    def files(self) -> list[Path]:
        return tables(self.checked_root())

    def load(self) -> dict[str, Split]:
        return self.decoded(parquet)


def parquet(root: Path) -> Listing:
    """Lists the tables of `root`; the label values that occur, in their order, are the classes.

    Raises:
        ValueError: one line that names the file and says what was expected.
    """
    files: dict[str, list[str]] = {}
    others = 0
    for entry in listed(root):
        word = re.match("[a-z]*", entry.name.lower())
        split = NAMES.get(word.group()) if word and entry.name.lower().endswith(".parquet") else None
        if split is None:
            others += 1
        else:
            files.setdefault(split, []).append(_regular(entry))
    if "train" not in files:
        raise ValueError(f"{printable(root)}: no train*.parquet there; expected train*.parquet and test*.parquet")
    if others:
        say(
            f"{others:,} file(s) or folder(s) in {printable(root)} that are no train*, test* or validation*.parquet are skipped"
        )
    mapped = {name: files[split] for split, name in used(root, files).items()}
    labels = {name: [label for path in paths for label in _labels(path)] for name, paths in mapped.items()}
    for name, values in labels.items():
        if not values:
            raise ValueError(f"{printable(root)}: {name}*.parquet hold no rows; expected at least one image")
    numbers = {name: sorted(set(values)) for name, values in labels.items()}
    classes = same_classes(root, {name: [str(number) for number in values] for name, values in numbers.items()})
    count = len(classes)
    if numbers["train"] != list(range(count)):
        say(
            f"the {count:,} labels in {printable(root)} are not 0 to {count - 1:,}: they are numbered so, from {classes[0]} to {classes[-1]}"
        )
    index = {number: i for i, number in enumerate(numbers["train"])}
    splits = {
        name: Listed(_images(mapped[name], values), [index[label] for label in values]) for name, values in labels.items()
    }
    return Listing(splits, classes)


def tables(root: Path) -> list[Path]:
    """The parquet files of a folder.

    Raises:
        ValueError: the folder cannot be read.
    """
    return [Path(entry.path) for entry in listed(root) if entry.is_file() and entry.name.lower().endswith(".parquet")]


def _regular(entry: os.DirEntry[str]) -> str:
    if not entry.is_file():
        raise ValueError(f"{printable(entry.path)}: a folder; expected a parquet file (move the files in it to where it lies)")
    return entry.path


@contextmanager
def _opened(path: str) -> Iterator[pyarrow.parquet.ParquetFile]:
    """A table with the columns that are needed; while it is read, what pyarrow says of it becomes one line."""
    file = printable(path)
    try:
        with pyarrow.parquet.ParquetFile(path) as table:
            schema = table.schema_arrow
            for name in ("img", "label"):
                if schema.names.count(name) != 1:
                    columns = printable(", ".join(schema.names), 100)
                    raise ValueError(f"{file}: has columns {columns}; expected img and label, each once")
            image, label = schema.field("img").type, schema.field("label").type
            if not (pyarrow.types.is_struct(image) and _is_bytes(image)):
                raise ValueError(f"{file}: column img is {printable(image, 100)}; expected struct<bytes: binary, path: string>")
            if not pyarrow.types.is_integer(label):
                raise ValueError(f"{file}: column label is {printable(label, 100)}; expected an integer")
            yield table
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{file}: not a readable parquet file ({reason(error)})") from error


def _is_bytes(image: pyarrow.StructType) -> bool:
    index = image.get_field_index("bytes")
    return index >= 0 and (pyarrow.types.is_binary(image[index].type) or pyarrow.types.is_large_binary(image[index].type))


def _labels(path: str) -> list[int]:
    with _opened(path) as table:
        values = table.read(columns=["label"]).column("label").to_pylist()
    if None in values or min(values, default=0) < 0:
        raise ValueError(f"{printable(path)}: column label holds missing or negative values; expected class numbers from 0")
    return values


def _images(paths: list[str], labels: list[int]) -> Iterator[tuple[str, bytes]]:
    """The images of these tables, whose labels were read before and are to be the same still."""
    read = 0
    for path in paths:
        row = 0
        with _opened(path) as table:
            for batch in table.iter_batches(ROWS, columns=["img", "label"]):
                found = batch.column("label").to_pylist()
                if found != labels[read : read + len(found)]:
                    raise ValueError(f"{printable(path)}: changed while it was read; start again")
                read += len(found)
                for image in batch.column("img").to_pylist():
                    yield f"{printable(path)} row {row}", (image and image["bytes"]) or b""
                    row += 1
    if read != len(labels):
        raise ValueError(f"{printable(paths[-1])}: changed while it was read; start again")
