"""All pictures of a source, decoded one by one into a tensor per split; those that cannot be are left out, or too many."""

import dataclasses
import hashlib
import json
import time
from collections import Counter
from pathlib import Path

import PIL
import torch

from datamodules import kept, memory
from datamodules.decoding import Reading, decode
from datamodules.messages import printable, say
from datamodules.splits import Listing, Split

NAMED = 3  # pictures that are left out by name
SETTLED = 2.0  # seconds after which a file that changes has another time
FORMAT = 1  # of what is kept; another one when pictures are decoded to other pixels


def read(root: Path, source: Listing, reading: Reading, seen: tuple) -> dict[str, Split]:
    """The splits of the source in `root`, from what was kept of them where the files look as they did; what is converted or left out
    is said on stderr.

    Args:
        root: its folder, for messages and to keep what is decoded under.
        source: encoded pictures and labels.
        reading: the size, and what may be left out.
        seen: a row per file, of path, size, time in ns, time of the last change in ns and number.

    Raises:
        ValueError: more than the share `reading.bad_files` cannot be decoded, or all of a split, or all do not fit into memory.
    """
    labels = {name: listed.labels for name, listed in source.splits.items()}
    path = kept.place(_checksum([str(root.absolute()), dataclasses.asdict(reading)]))
    made_of = _checksum([FORMAT, PIL.__version__, labels, [[str(file.absolute()), *row] for file, *row in seen]])
    start = time.time()
    decoded = kept.recall(path, made_of, reading.size) if path else None
    if decoded is None:
        decoded = _decoded(printable(root), source, reading)
        # A change right after reading could leave sizes and times as they are. Only the system sets the time of the last change.
        if path and max(row[3] for row in seen) < (start - SETTLED) * 1e9:
            kept.keep(path, made_of, decoded)
    for line in decoded.said:
        say(line)
    for name, numbers in decoded.left_out.items():
        bad = set(numbers)
        labels[name] = [label for i, label in enumerate(labels[name]) if i not in bad]
    images = decoded.images.split([len(found) for found in labels.values()])
    return {
        name: Split(part, torch.tensor(found), source.classes)
        for (name, found), part in zip(labels.items(), images, strict=True)
    }


def _decoded(where: str, source: Listing, reading: Reading) -> kept.Decoded:
    size, total = reading.size, sum(len(listed.labels) for listed in source.splits.values())
    memory.check(
        f"{where}: {total:,} images of {size} x {size} pixels", total * 3 * size**2, "give a smaller --size or use fewer"
    )
    images = torch.empty(total, 3, size, size, dtype=torch.uint8)
    left_out: dict[str, list[int]] = {name: [] for name in source.splits}
    notes, bad, done = Counter[str](), list[str](), 0
    for name, listed in source.splits.items():
        for i, (picture, encoded) in enumerate(listed.encoded):
            try:
                images[done] = decode(encoded, picture, reading, notes)
                done += 1
            except ValueError as error:
                bad.append(str(error))
                left_out[name].append(i)
    if len(bad) / total > reading.bad_files:
        raise ValueError(f"{bad[0]}; {len(bad):,} of {total:,} images are bad: mend or remove them{_enough(len(bad), total)}")
    for name, listed in source.splits.items():
        if len(left_out[name]) == len(listed.labels):
            raise ValueError(f"{bad[0]}; so are all images of the {name} split in {where}: mend them")
    if bad:
        notes["are left out, as they cannot be decoded"] = len(bad)
    said = [f"{line}; left out" for line in bad[:NAMED]]
    said += [f"{count:,} of {total:,} images in {where} {note}" for note, count in notes.items()]
    return kept.Decoded(images[:done], left_out, said)


def _enough(bad: int, total: int) -> str:
    """The option that leaves out so many, with its share rounded up to 4 digits; nothing where that would be all."""
    share = -(-bad * 10_000 // total) / 10_000
    return f", or give --bad-files {share:g} to leave them out" if share < 1 else ""


def _checksum(value: list) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
