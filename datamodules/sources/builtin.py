"""The built-in images as a source."""

from functools import lru_cache

from datamodules.sizes import averaged, check_size
from datamodules.sources.shapes import CLASSES, SIDE, shapes
from datamodules.sources.source import Source
from datamodules.splits import Split

TRAIN, TEST = 25_000, 5_000


class Builtin(Source):
    """Ten shapes on coloured clouds (datamodules.sources.shapes), which need no download.

    Args:
        size: side to which they are reduced, a divisor of 32.

    Raises:
        ValueError: an impossible size.
    """

    def __init__(self, size: int = 16) -> None:
        check_size(size, SIDE)
        self.size = size

    @property
    def shape(self) -> list[int]:
        return [3, self.size, self.size]

    def load(self) -> dict[str, Split]:
        return _made(self.size)


@lru_cache(maxsize=2)
def _made(size: int) -> dict[str, Split]:
    made = {"train": shapes(TRAIN), "test": shapes(TEST, first=TRAIN)}
    return {name: Split(averaged(images, size), labels, CLASSES) for name, (images, labels) in made.items()}
