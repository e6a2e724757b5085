"""Encoded images to one uint8 tensor; whatever is converted on the way is counted, so that it can be said."""

import io
import struct
import warnings
import zlib
from collections import Counter

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import ExifTags, Image, ImageOps
from torch import Tensor

from datamodules.messages import reason

FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
BACKGROUND = "white"  # what lies under transparent pixels
DAMAGED = (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, EOFError, OverflowError, struct.error, zlib.error)


def decode(encoded: bytes, name: str, notes: Counter[str]) -> UInt8[Tensor, "3 h w"]:
    """One image as RGB with 8 bits per channel, turned as its EXIF orientation says; of an animation the first frame.

    Args:
        encoded: a PNG, JPEG, WebP or GIF file.
        name: stands in messages.
        notes: counts each kind of conversion that loses something or chooses for the user.

    Raises:
        ValueError: one line: damaged, of another format, too large, or without a defined range of values.
    """
    found: list[str] = []
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            with Image.open(io.BytesIO(encoded), formats=FORMATS) as opened:
                small = opened.width * opened.height <= (Image.MAX_IMAGE_PIXELS or 0)
                image = torch.from_numpy(_rgb(opened, encoded, found)) if small else None
        except Image.DecompressionBombError:
            image = None
        except DAMAGED as error:
            raise ValueError(
                f"{name}: cannot be decoded ({reason(error)}); expected a whole PNG, JPEG, WebP or GIF image"
            ) from error
    if image is None:
        raise ValueError(
            f"{name}: more than {Image.MAX_IMAGE_PIXELS:,} pixels, the most that are decoded; make it smaller first"
        )
    found += [f"have a fault that was passed over ({reason(w.message)})" for w in warned if isinstance(w.message, Warning)]
    notes.update(set(found))
    return image.permute(2, 0, 1)


def _rgb(opened: Image.Image, encoded: bytes, found: list[str]) -> np.ndarray:
    """Array [h, w, 3]."""
    deep = opened.format == "PNG" and encoded[24] == 16  # bit depth in the header; Pillow's mode does not tell it for colours
    if getattr(opened, "is_animated", False):
        found.append("hold several frames: the first is taken")
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
