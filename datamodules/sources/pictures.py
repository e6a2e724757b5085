"""What folders and tables of the user's own pictures share."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from datamodules.decoding import MOST_PIXELS, Reading
from datamodules.messages import printable
from datamodules.reading import read
from datamodules.seen import Look, look
from datamodules.sizes import check_size
from datamodules.sources.source import Source
from datamodules.splits import Listing, Split


class Pictures(Source):
    """Pictures of any size, decoded once per process.

    Args:
        root: their folder.
        size: side to which each is reduced while it is decoded; of pictures whose side it does not divide the middle is resized
            (datamodules.sizes).
        bad_files: share of them that may be left out, as they cannot be decoded, in [0, 1).
        most_pixels: a picture of those with more is not decoded.

    Raises:
        ValueError: an impossible value.
    """

    def __init__(self, root: Path, size: int = 16, bad_files: float = 0.0, most_pixels: int = MOST_PIXELS) -> None:
        check_size(size)
        if not 0 <= bad_files < 1:
            raise ValueError(f"bad_files must lie in [0, 1), found {bad_files}")
        if most_pixels < 1:
            raise ValueError(f"most_pixels must be at least 1, found {most_pixels}")
        self.root, self.reading = Path(root), Reading(size, bad_files, most_pixels)

    def __str__(self) -> str:
        return str(self.root)

    @property
    def shape(self) -> list[int]:
        return [3, self.reading.size, self.reading.size]

    def checked_root(self) -> Path:
        """Raises ValueError: it is no folder."""
        if not self.root.is_dir():
            raise ValueError(f"{printable(self.root)}: no such folder; give an existing one, with the pictures in it")
        return self.root

    def decoded(self, listing: Callable[..., Listing], *options: str) -> dict[str, Split]:
        """The splits that `listing` lists, with these options, in their folder."""
        return _decoded(listing, options, self.root, look(self.files()), self.reading)


@lru_cache(maxsize=2)
def _decoded(
    listing: Callable[..., Listing], options: tuple[str, ...], root: Path, seen: tuple[Look, ...], reading: Reading
) -> dict[str, Split]:
    return read(root, listing(root, *options), reading, seen)
