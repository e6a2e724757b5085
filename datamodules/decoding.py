"""An encoded image to a uint8 tensor; whatever is converted on the way is told, so that it can be counted and said."""

import io
import logging
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import ExifTags, Image, ImageOps, TiffImagePlugin, UnidentifiedImageError
from torch import Tensor

from datamodules.messages import reason
from datamodules.sizes import fitted

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP")
MOST_PIXELS = 89_478_485  # Pillow's own limit
BACKGROUND = "white"  # what lies under transparent pixels
DAMAGED = (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, EOFError, OverflowError, struct.error, zlib.error)
logging.getLogger("PIL.TiffImagePlugin").setLevel(logging.CRITICAL)  # what it logs it raises as well


class Local(threading.local):
    """What each thread was warned of since it began with a picture."""

    def __init__(self) -> None:
        self.warned: list[Warning | str] = []


_local = Local()


@dataclass(frozen=True)
class Reading:
    """How pictures are read.

    Args:
        size: side that each is reduced to while it is decoded, so that no more than one lies in memory as large as it is.
        bad_files: share of them that may be left out, as they cannot be decoded, in [0, 1).
        most_pixels: a picture with more is not decoded.
    """

    size: int = 16
    bad_files: float = 0.0
    most_pixels: int = MOST_PIXELS


@contextmanager
def prepared(reading: Reading) -> Iterator[None]:
    """For `decode`, in as many threads as wanted: sets what all of them share, Pillow's limit and where warnings go."""
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, reading.most_pixels
    Image.init()  # of all formats, which is no work for several threads
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.showwarning = _noted  # type: ignore[assignment]  # leaves out where the warning came from
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _noted(message: Warning | str, *_: object) -> None:
    """Takes the place of `warnings.showwarning`."""
    _local.warned.append(message)


def decode(encoded: bytes, name: str, reading: Reading) -> tuple[UInt8[Tensor, "3 size size"], set[str]]:
    """One image as RGB with 8 bits per channel, turned as its EXIF orientation says, of an animation the first frame; and each
    conversion that loses something or chooses for the user. It is called while `prepared`.

    Args:
        encoded: a file of one of FORMATS.
        name: stands in messages.
        reading: the size, and the most pixels.

    Raises:
        ValueError: one line: damaged, of another format, too large, or without a defined range of values.
    """
    assert reading.most_pixels == Image.MAX_IMAGE_PIXELS
    found: list[str] = []
    _local.warned = []
    image = None
    try:
        if not encoded:
            raise ValueError("holds no bytes")
        with Image.open(io.BytesIO(encoded), formats=FORMATS) as opened:
            if opened.width * opened.height <= reading.most_pixels:
                image = fitted(_rgb(opened, encoded, found), reading.size, found)
    except Image.DecompressionBombError:
        pass
    except DAMAGED as error:
        why = "of none of these kinds" if isinstance(error, UnidentifiedImageError) else reason(error)
        raise ValueError(
            f"{name}: cannot be decoded ({why}); expected a whole PNG, JPEG, WebP, GIF, TIFF or BMP image"
        ) from error
    if image is None:
        raise ValueError(
            f"{name}: more than {reading.most_pixels:,} pixels, the most that are decoded; make it smaller, or give more --most-pixels"
        )
    return image, {
        *found,
        *(
            f"have a fault that was passed over ({reason(warning)})"
            for warning in _local.warned
            if isinstance(warning, Warning)
        ),
    }


def _rgb(opened: Image.Image, encoded: bytes, found: list[str]) -> np.ndarray:
    """Array [h, w, 3]."""
    deep = _deep(opened, encoded)
    if getattr(opened, "is_animated", False):
        found.append("hold several frames or pages: the first is taken")
    if opened.getexif().get(ExifTags.Base.Orientation, 1) != 1:
        found.append("are turned as their EXIF orientation says")
    image = ImageOps.exif_transpose(opened)
    transparent = image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info
    if image.mode.startswith("I"):
        if not deep or transparent:
            raise ValueError(
                f"mode {image.mode} with{'' if transparent else 'out'} transparency; save it with 8 bits per channel"
            )
        found.append("are 16-bit grey: scaled to 8 bits")
        grey = np.rint(np.asarray(image).astype(np.float64) / 257).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=-1)
    if deep:
        found.append("have 16 bits per channel: the upper 8 are kept")
    if transparent:
        image = image.convert("RGBA")
        if np.asarray(image)[..., 3].min() < 255:
            found.append(f"are transparent: laid on {BACKGROUND}")
        image = Image.alpha_composite(Image.new("RGBA", image.size, BACKGROUND), image)
    elif image.mode == "CMYK":
        found.append("are CMYK: converted to RGB without a colour profile")
    elif image.mode not in ("1", "L", "P", "RGB"):
        raise ValueError(f"mode {image.mode} has no defined range of values; save it as RGB with 8 bits per channel")
    return np.array(image.convert("RGB"))


def _deep(opened: Image.Image, encoded: bytes) -> bool:
    """Whether a channel has 16 bits, from 0 for black on; Pillow's mode does not tell it for colours."""
    if isinstance(opened, TiffImagePlugin.TiffImageFile):
        tags = opened.tag_v2
        signed = 2 in tags.get(TiffImagePlugin.SAMPLEFORMAT, ())
        negative = tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0
        return 16 in tags.get(TiffImagePlugin.BITSPERSAMPLE, ()) and not signed and not negative
    return opened.format == "PNG" and encoded[24] == 16
