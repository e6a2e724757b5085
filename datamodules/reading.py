"""All pictures of a source, decoded one by one into a tensor per split; those that cannot be are left out, or too many."""

from collections import Counter
from pathlib import Path

import torch

from datamodules import memory
from datamodules.decoding import Reading, decode
from datamodules.messages import printable, say
from datamodules.splits import Source, Split

NAMED = 3  # pictures that are left out by name


def read(root: Path, source: Source, reading: Reading) -> dict[str, Split]:
    """The splits of the source in `root`; what is converted or left out on the way is said on stderr.

    Raises:
        ValueError: more than the share `reading.bad_files` cannot be decoded, or all of a split, or all do not fit into memory.
    """
    where, size, total = printable(root), reading.size, sum(len(listed.labels) for listed in source.splits.values())
    memory.check(
        f"{where}: {total:,} images of {size} x {size} pixels", total * 3 * size**2, "give a smaller --size or use fewer"
    )
    bad: list[str] = []
    notes = Counter[str]()
    splits = {}
    for name, listed in source.splits.items():
        images = torch.empty(len(listed.labels), 3, size, size, dtype=torch.uint8)
        labels: list[int] = []
        for (picture, encoded), label in zip(listed.encoded, listed.labels, strict=True):
            try:
                images[len(labels)] = decode(encoded, picture, reading, notes)
            except ValueError as error:
                bad.append(str(error))
            else:
                labels.append(label)
        splits[name] = Split(images[: len(labels)], torch.tensor(labels, dtype=torch.int64), source.classes)
    if len(bad) / total > reading.bad_files:
        raise ValueError(f"{bad[0]}; {len(bad):,} of {total:,} images are bad: mend or remove them{_enough(len(bad), total)}")
    if empty := [name for name, split in splits.items() if not len(split.labels)]:
        raise ValueError(f"{bad[0]}; so are all images of the {empty[0]} split in {where}: mend them")
    for line in bad[:NAMED]:
        say(f"{line}; left out")
    if bad:
        notes["are left out, as they cannot be decoded"] = len(bad)
    for note, count in notes.items():
        say(f"{count:,} of {total:,} images in {where} {note}")
    return splits


def _enough(bad: int, total: int) -> str:
    """The option that leaves out so many, with its share rounded up to 4 digits; nothing where that would be all."""
    share = -(-bad * 10_000 // total) / 10_000
    return f", or give --bad-files {share:g} to leave them out" if share < 1 else ""
