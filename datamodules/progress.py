"""How far long work is: a bar where stderr is a terminal, a line now and then where it is not."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from datamodules.messages import say

SECONDS = 30.0  # from line to line
Item = TypeVar("Item")


def shown(items: Iterable[Item], total: int, what: str) -> Iterator[Item]:
    """The items, `total` of them, which are counted on stderr as they are taken.

    Args:
        what: what is done, as a few words.
    """
    if not sys.stderr.isatty():
        yield from _told(items, total, what)
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield from bar.track(items, total, description=what)


def _told(items: Iterable[Item], total: int, what: str) -> Iterator[Item]:
    last = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        if time.monotonic() - last > SECONDS:
            say(f"{what}: {done:,} of {total:,}")
            last = time.monotonic()
