"""Pictures of every size to size x size pixels: averaged where size divides the side of a square, else resized and cropped."""

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional

FLOATS_AT_ONCE = 2**25
# Averages, as `averaged` does, so that a picture is the same whether or not size divides its sides, and never overshoots.
FILTER = Image.Resampling.BOX


def averaged(images: UInt8[Tensor, "n 3 side side"], size: int) -> UInt8[Tensor, "n 3 size size"]:
    """The means of equal squares; `size` divides the side."""
    side = images.shape[-1] // size
    few = max(1, FLOATS_AT_ONCE // images[0].numel())  # since they are large as floats
    return torch.cat([functional.avg_pool2d(some.float(), side).round().to(torch.uint8) for some in images.split(few)])


def check_size(size: int, side: int | None = None) -> None:
    """Raises ValueError: images of this side, by default of any, cannot be reduced to this size."""
    if size < 1:
        raise ValueError(f"size must be at least 1, found {size}")
    if side is not None and side % size:
        raise ValueError(f"images are {side} x {side} pixels; size must divide both alike, found {size}")


def fitted(picture: UInt8[np.ndarray, "h w 3"], size: int, found: list[str]) -> UInt8[Tensor, "3 size size"]:
    """The largest square in the middle, resized; what is lost by that is added to `found`, as `decode` words it."""
    height, width, _ = picture.shape
    if height == width and height % size == 0:
        return averaged(torch.from_numpy(picture).permute(2, 0, 1)[None], size)[0]
    change = "enlarged" if min(height, width) < size else "reduced"
    found.append(f"are {change} to {size} x {size} pixels by resizing{' and cropping' if height != width else ''}")
    made = ImageOps.fit(Image.fromarray(picture), (size, size), FILTER)
    return torch.from_numpy(np.array(made)).permute(2, 0, 1)
