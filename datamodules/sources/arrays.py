"""Arrays as files: vectors, images, or windows of recordings."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from datamodules import memory
from datamodules.messages import printable, say
from datamodules.order import held_out
from datamodules.seen import look
from datamodules.sources import archive
from datamodules.sources.windows import Windows
from datamodules.splits import Split

NAMES = ("x", "labels", "groups", "x_test", "labels_test")
EXPECTED = f"expected a .npy array of numbers, or a .npz file with {', '.join(NAMES)}, of which only x is needed"
ROWS = {2: "N vectors", 3: "N windows of T x d", 4: "N images of channels x rows x columns"}
NUMBERS_AT_ONCE = 2**24


class Arrays(archive.Archive):
    """Samples of an .npy file, or of an .npz file with x and, where there are any, labels, groups, x_test and labels_test.

    Without `window` an array holds one sample per row: N x d vectors, N x T x d windows, or N x channels x rows x columns images,
    with a label and a group each. With `window` it holds recordings: T numbers, T x d, or R recordings of T x d
    (datamodules.sources.windows), and labels belong to times or recordings. Arrays that are no uint8 become float32; .npy files are
    mapped where they need not.

    The test split is x_test where there is one. Else it is the last fifth of recordings and their time, or of rows
    a fifth evenly over the classes, groups whole (datamodules.order).

    Args:
        root: the file.
        window: length of a window in time steps, or none: samples are rows.
        step: time steps from the start of one window to that of the next, by default `window`.

    Raises:
        ValueError: an impossible value.
    """

    expected = EXPECTED

    def __init__(self, root: Path, window: int | None = None, step: int | None = None) -> None:
        for name, value in (("window", window), ("step", step)):
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, found {value}")
        if step is not None and window is None:
            raise ValueError(f"step = {step} needs windows; give --window too")
        super().__init__(root)
        self.windows = None if window is None else Windows(window, step or window)

    @property
    def shape(self) -> list[int]:
        x = self._arrays()["x"]
        return list(x.shape[1:]) if self.windows is None else self.windows.shape(x.shape)

    def _arrays(self) -> dict[str, np.ndarray]:
        return _read(self.root, look(self.files()), None if self.windows is None else self.windows.length)

    def load(self) -> dict[str, Split]:
        arrays, where = self._arrays(), printable(self.root)
        labels, classes = _numbered(where, arrays)
        parts = {"train": (_tensor(f"{where}: x", arrays["x"]), labels.get("labels"))}
        if "x_test" in arrays:
            parts["test"] = (_tensor(f"{where}: x_test", arrays["x_test"]), labels.get("labels_test"))
        if self.windows is not None:
            return self.windows.splits(where, parts, classes)
        groups = torch.from_numpy(np.unique(arrays["groups"], return_inverse=True)[1]) if "groups" in arrays else None
        return _rows(where, parts, classes, groups)


@lru_cache(maxsize=2)
def _read(root: Path, seen: tuple, window: int | None) -> dict[str, np.ndarray]:
    """The arrays of a file, mapped where it is one; nothing in it is run.

    Raises:
        ValueError: one line that says what was found and what was expected.
    """
    where = printable(root)
    arrays, others = archive.read(root, (*NAMES, "y"), EXPECTED)
    if (y := arrays.pop("y", None)) is not None:
        if "labels" not in arrays and y.ndim == 1:
            arrays["labels"] = y
            say(f"{where}: y has one value for each sample and is taken for their labels")
        else:
            others = sorted([*others, "y"])
    if "x" not in arrays:
        raise ValueError(f"{where}: holds {printable(', '.join(others) or 'nothing', 80)}; {EXPECTED}")
    if others:
        say(f"{where}: {printable(', '.join(others), 80)} is not among {', '.join(NAMES)} and is skipped")
    x = arrays["x"]
    for name in ("x", "x_test"):
        if name in arrays:
            _check(f"{where}: {name}", arrays[name], window)
    if "x_test" in arrays and arrays["x_test"].shape[1:] != x.shape[1:] and window is None:
        raise ValueError(
            f"{where}: x_test holds samples of shape {list(arrays['x_test'].shape[1:])} and x of {list(x.shape[1:])}"
        )
    if ("labels_test" in arrays) != ({"labels", "x_test"} <= arrays.keys()):
        raise ValueError(f"{where}: labels, x_test and labels_test belong together, found {', '.join(arrays)}")
    if "groups" in arrays and window is not None:
        raise ValueError(
            f"{where}: groups belong to rows, and with a window x holds recordings; give R recordings of T x d instead"
        )
    for name, of in (("labels", "x"), ("groups", "x"), ("labels_test", "x_test")):
        if name not in arrays:
            continue
        if arrays[name].dtype.kind not in "biuUS":
            raise ValueError(f"{where}: {name} are {arrays[name].dtype}; expected integers or text")
        shape, samples = arrays[name].shape, arrays[of].shape
        # Of recordings R x T x d each recording or each of its times has one; else each row or time.
        if shape != samples[:1] and not (window is not None and len(samples) == 3 and shape == samples[:2]):
            raise ValueError(f"{where}: {name} have shape {list(shape)}; expected {[samples[0]]}, one for each row of {of}")
    return arrays


def _check(what: str, x: np.ndarray, window: int | None) -> None:
    """Raises ValueError: an array that holds no samples."""
    if x.dtype.kind not in "biuf":
        raise ValueError(f"{what} holds {x.dtype}; expected numbers")
    if x.size == 0:
        raise ValueError(f"{what} is empty, of shape {list(x.shape)}; expected at least one sample")
    if window is not None:
        if x.ndim not in (1, 2, 3):
            raise ValueError(f"{what} has shape {list(x.shape)}; with a window expected T, T x d, or R recordings of T x d")
        if window > (times := x.shape[1 if x.ndim == 3 else 0]):
            raise ValueError(f"{what} holds {times:,} time steps; window must be at most that, found {window:,}")
    elif x.ndim not in ROWS:
        raise ValueError(f"{what} has shape {list(x.shape)}; expected {', '.join(ROWS.values())}; of recordings give --window")
    if x.ndim == 3 and x.shape[2] > x.shape[1]:
        of, (N, T, d) = "windows" if window is None else "recordings", x.shape
        say(
            f"{what} is read as {N:,} {of} of {T:,} time steps x {d:,} channels; if channels come first, swap the last two axes"
        )


def _tensor(what: str, x: np.ndarray) -> Shaped[Tensor, "n ..."]:
    """As uint8 or float32.

    Raises:
        ValueError: a number is not finite, or the array does not fit into memory.
    """
    if x.dtype not in (np.uint8, np.float32):
        memory.check(f"{what}: {x.size:,} numbers as float32", 4 * x.size, "save it as float32, which is mapped")
        say(f"{what} is {x.dtype}: converted to float32")
        with np.errstate(over="ignore"):  # it is found below
            x = x.astype(np.float32)
    found = torch.from_numpy(x)
    if found.dtype == torch.float32:
        few = max(1, NUMBERS_AT_ONCE // max(1, found[0].numel()))
        for first in range(0, len(found), few):
            finite = found[first : first + few].reshape(min(few, len(found) - first), -1).isfinite().all(1)
            if not finite.all():
                row = first + int((~finite).nonzero()[0])
                raise ValueError(
                    f"{what} holds a number in row {row:,} that is not finite as float32; expected finite numbers alone"
                )
    return found


def _numbered(where: str, arrays: dict[str, np.ndarray]) -> tuple[dict[str, Int[Tensor, "..."]], tuple[str, ...]]:
    """Labels as numbers from 0, and what they stand for; what they were is said where it is something else."""
    given = {name: arrays[name] for name in ("labels", "labels_test") if name in arrays}
    if not given:
        return {}, ()
    values, numbers = np.unique(np.concatenate([v.ravel() for v in given.values()]), return_inverse=True)
    if values.tolist() != list(range(len(values))):
        say(
            f"{where}: the {len(values):,} labels are not 0 to {len(values) - 1:,}: they are numbered so, from {values[0]} to {values[-1]}"
        )
    cut = np.cumsum([v.size for v in given.values()])[:-1]
    parts = zip(given.items(), np.split(numbers, cut), strict=True)
    return {name: torch.from_numpy(part.reshape(v.shape)) for (name, v), part in parts}, tuple(map(str, values))


def _rows(
    where: str,
    parts: dict[str, tuple[Tensor, Tensor | None]],
    classes: tuple[str, ...],
    groups: Int[Tensor, "n"] | None,
) -> dict[str, Split]:
    """The splits of samples that are rows."""
    x, labels = parts["train"]
    if "test" in parts:
        return {"train": Split(x, labels, classes, groups), "test": Split(parts["test"][0], parts["test"][1], classes)}
    try:
        split = held_out(torch.zeros(len(x), dtype=torch.int64) if labels is None else labels, groups)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error

    def part(rows: Int[Tensor, "k"]) -> Split:
        rows = rows.sort().values
        of = (None if known is None else known[rows] for known in (labels, groups))
        return Split(x, next(of), classes, next(of), rows)

    return {"train": part(split[0]), "test": part(split[1])}
