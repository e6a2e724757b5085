"""All pictures of a source, decoded by several threads into one file; those that cannot be are left out, or too many."""

import dataclasses
import hashlib
import json
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import PIL
import torch
from jaxtyping import UInt8
from torch import Tensor

from datamodules import cache
from datamodules.decoding import Reading, decode, prepared
from datamodules.messages import printable, say
from datamodules.progress import shown
from datamodules.seen import Look, settled
from datamodules.splits import Listing, Split

NAMED = 3  # pictures that are left out by name
FORMAT = 1  # of what is kept; another one when pictures are decoded to other pixels
THREADS = 8  # at most, as each holds a picture as large as it is
WAITING = 4  # pictures that are read ahead of a thread

Picture = tuple[UInt8[Tensor, "3 size size"], set[str]]  # and its conversions


def read(root: Path, source: Listing, reading: Reading, seen: tuple[Look, ...]) -> dict[str, Split]:
    """The splits of the source in `root`, from what was kept of them where the files look as they did; what is converted or left out
    is said on stderr.

    Args:
        root: its folder, for messages and to keep what is decoded under.
        source: encoded pictures and labels.
        reading: the size, and what may be left out.
        seen: its files.

    Raises:
        ValueError: more than the share `reading.bad_files` cannot be decoded, or all of a split, or all fit neither into the cache nor
            into memory.
    """
    path = cache.place(_checksum([str(root.absolute()), dataclasses.asdict(reading)]))
    made_of = _checksum([FORMAT, PIL.__version__, {name: listed.labels for name, listed in source.splits.items()}, seen])
    decoded = cache.recall(path, made_of, reading.size) if path else None
    if decoded is None:
        decoded = _decoded(printable(root), source, reading, path, made_of, seen)
    for line in decoded.said:
        say(line)
    splits, first = {}, 0
    for name, listed in source.splits.items():
        bad = set(decoded.left_out[name])
        fine = torch.tensor([i for i in range(len(listed.labels)) if i not in bad])
        groups = None if listed.groups is None else torch.tensor(listed.groups)[fine]
        images = decoded.images[first : first + len(fine)]
        splits[name] = Split(images, torch.tensor(listed.labels)[fine], source.classes, groups)
        first += len(fine)
    return splits


def _decoded(
    where: str, source: Listing, reading: Reading, path: Path | None, made_of: str, seen: tuple[Look, ...]
) -> cache.Decoded:
    start, total = time.time(), sum(len(listed.labels) for listed in source.splits.values())
    what = f"{where}: {total:,} images of {reading.size} x {reading.size} pixels"
    left_out: dict[str, list[int]] = {name: [] for name in source.splits}
    notes, bad = Counter[str](), list[str]()
    encoded = (picture for listed in source.splits.values() for picture in listed.encoded)
    places = ((name, i) for name, listed in source.splits.items() for i in range(len(listed.labels)))
    threads = min(THREADS, torch.get_num_threads())  # which is few where several processes share the machine
    with prepared(reading), ThreadPoolExecutor(threads) as pool, cache.room(path, what, total, reading.size) as room:
        pictures = _pictures(encoded, reading, pool, WAITING * threads)
        for (name, i), future in zip(places, shown(pictures, total, "decoding images"), strict=True):
            try:
                image, changes = future.result()
            except ValueError as error:
                bad.append(str(error))
                left_out[name].append(i)
            else:
                room.add(image)
                notes.update(changes)
        if len(bad) / total > reading.bad_files:
            raise ValueError(
                f"{bad[0]}; {len(bad):,} of {total:,} images are bad: mend or remove them{_enough(len(bad), total)}"
            )
        for name, listed in source.splits.items():
            if len(left_out[name]) == len(listed.labels):
                raise ValueError(f"{bad[0]}; so are all images of the {name} split in {where}: mend them")
        if bad:
            notes["are left out, as they cannot be decoded"] = len(bad)
        said = [f"{line}; left out" for line in bad[:NAMED]]
        said += [f"{count:,} of {total:,} images in {where} {note}" for note, count in notes.items()]
        decoded = cache.Decoded(room.images(), left_out, said)
        if settled(seen, start):
            room.keep(made_of, left_out, said)
    return decoded


def _pictures(
    encoded: Iterable[tuple[str, bytes]], reading: Reading, pool: ThreadPoolExecutor, ahead: int
) -> Iterator[Future[Picture]]:
    """What becomes of each, in their order; the pool has at most `ahead` more to do."""
    waiting: deque[Future[Picture]] = deque()
    for name, content in encoded:
        waiting.append(pool.submit(decode, content, name, reading))
        if len(waiting) > ahead:
            yield waiting.popleft()
    yield from waiting


def _enough(bad: int, total: int) -> str:
    """The option that leaves out so many, with its share rounded up to 4 digits; nothing where that would be all."""
    share = -(-bad * 10_000 // total) / 10_000
    return f", or give --bad-files {share:g} to leave them out" if share < 1 else ""


def _checksum(value: list) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
