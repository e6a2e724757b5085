"""Pairs that are given, as two arrays."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from datamodules import memory
from datamodules.messages import printable, say
from datamodules.order import held_out
from datamodules.seen import look
from datamodules.sources import archive
from datamodules.splits import Split

FAR = 0.1  # standard deviations of x between the means of x and y, from which on it is said that y is moved
EXPECTED = "expected a .npz file with x and y, two arrays of numbers of one shape, and labels where there are any"


class Paired(archive.Archive):
    """The pairs (x, y) of an .npz file: N samples x, as many y of their shape and, where there are any, `labels`, one of each pair.

    A pair is a group of two samples, one after the other, so that datamodules.pairings.Lag makes pairs of them. A fifth is the test split.
    All samples are centred and scaled alike afterwards, so y is moved to the mean of x.

    Args:
        root: the file.
    """

    expected = EXPECTED

    @property
    def shape(self) -> list[int]:
        return list(self._arrays()["x"].shape[1:])

    def _arrays(self) -> dict[str, np.ndarray]:
        return _read(self.root, look(self.files()))

    def load(self) -> dict[str, Split]:
        arrays = self._arrays()
        x, y = arrays["x"], arrays["y"]
        memory.check(f"{printable(self.root)}: {2 * x.size:,} numbers as float32", 8 * x.size, "give fewer pairs")
        apart = x.mean(0, dtype=np.float64) - y.mean(0, dtype=np.float64)
        values = torch.from_numpy(np.stack([x, y + apart], 1).astype(np.float32)).flatten(0, 1)
        if not bool(values.isfinite().all()):
            raise ValueError(f"{printable(self.root)}: x or y holds numbers that are not finite; expected finite numbers alone")
        if np.abs(apart).max() > FAR * x.std():
            say(f"{printable(self.root)}: y has another mean than x and is moved to it, by up to {np.abs(apart).max():.3g}")
        names, labels = np.unique(arrays["labels"], return_inverse=True) if "labels" in arrays else (np.array([]), None)
        of_pairs = torch.zeros(len(x), dtype=torch.int64) if labels is None else torch.from_numpy(labels)
        try:
            kept = held_out(of_pairs)
        except ValueError as error:
            raise ValueError(f"{printable(self.root)}: {error}") from error

        def part(pairs: torch.Tensor) -> Split:
            pairs = pairs.sort().values
            rows = (2 * pairs[:, None] + torch.arange(2)).flatten()
            return Split(
                values,
                None if labels is None else of_pairs[pairs].repeat_interleave(2),
                tuple(map(str, names)),
                pairs.repeat_interleave(2),
                rows,
            )

        return {"train": part(kept[0]), "test": part(kept[1])}


@lru_cache(maxsize=2)
def _read(root: Path, seen: tuple) -> dict[str, np.ndarray]:
    """Raises ValueError: one line that says what was found and what was expected."""
    where = printable(root)
    arrays, others = archive.read(root, ("x", "y", "labels"), EXPECTED)
    if not {"x", "y"} <= arrays.keys():
        raise ValueError(f"{where}: holds {printable(', '.join(sorted([*arrays, *others])) or 'nothing', 80)}; {EXPECTED}")
    x, y = arrays["x"], arrays["y"]
    if x.ndim < 2 or x.shape != y.shape or x.dtype.kind not in "biuf" or y.dtype.kind not in "biuf" or not x.size:
        raise ValueError(f"{where}: x is {x.dtype} {list(x.shape)} and y is {y.dtype} {list(y.shape)}; {EXPECTED}")
    if "labels" in arrays and (arrays["labels"].shape != x.shape[:1] or arrays["labels"].dtype.kind not in "biuUS"):
        raise ValueError(f"{where}: labels are {arrays['labels'].dtype} {list(arrays['labels'].shape)}; expected {[len(x)]}")
    return arrays
