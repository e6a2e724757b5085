"""The CUDA kernel of datamodules.random's normals: one pass over the result, where torch's operations make some twenty."""
# mypy: ignore-errors

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

BLOCK = 1024  # words of a program


@triton.jit(do_not_specialize=["first"])
def fill(out, offsets, half, words, first, block: tl.constexpr):
    """Words `first` and on of the stream number program_id(1), two normals from each: out [S, words / half, 2 half]."""
    stream = tl.program_id(1).to(tl.int64)
    at = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    # As unsigned numbers, whose shifts bring in zeros. The constants are those of datamodules.random.
    z = ((at + first).to(tl.uint64) * 0x9E3779B97F4A7C15) + tl.load(offsets + stream).to(tl.uint64)
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB
    z = z ^ (z >> 31)
    angle = (z & 0xFFFFFF).to(tl.float32) * (2.0**-23 * 3.141592653589793)
    radius = tl.sqrt(-2.0 * tl.log((((z >> 40) & 0xFFFFFF).to(tl.float32) + 0.5) * 2.0**-24))
    to = out + stream * words * 2 + (at // half) * 2 * half + at % half
    tl.store(to, tl.cos(angle) * radius, mask=at < words)
    tl.store(to + half, tl.sin(angle) * radius, mask=at < words)


def normals(offsets: Int[Tensor, "S"], rows: int, half: int, first_row: int) -> Float[Tensor, "S rows columns"]:
    """What datamodules.random.normal makes of 2 half columns, to float32's rounding."""
    out, words = torch.empty(len(offsets), rows, 2 * half, device=offsets.device), rows * half
    if words:
        fill[(triton.cdiv(words, BLOCK), len(offsets))](out, offsets, half, words, first_row * half, BLOCK)
    return out
