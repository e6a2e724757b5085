"""Random numbers as a pure function of (key, row, column), the same on every device.

Counter-based: nothing is stored or advanced, so a batch is a function of (seed, step, row) alone. A run that is
resumed, split over processes or moved to a GPU sees the same data. The generator is splitmix64 (Steele, Lea and Flood,
OOPSLA 2014), which passes BigCrush; on a CPU it is about as fast as `torch.randn`.
"""

import math
from functools import lru_cache
from importlib.util import find_spec

import torch
from jaxtyping import Float, Int
from torch import Tensor

from datamodules import memory

GOLDEN = 0x9E3779B97F4A7C15
MULTIPLIERS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
MASK = (1 << 64) - 1


def _signed(value: int) -> int:
    """The 64-bit pattern of `value` as torch's signed int64 (torch has no arithmetic on uint64)."""
    value &= MASK
    return value - (1 << 64) if value >> 63 else value


def key(*parts: int) -> int:
    """Mix integers such as (seed, stream, step) into one 64-bit key; order matters."""
    state = 0
    for part in parts:
        state = (state + part + GOLDEN) & MASK
        for shift, multiplier in zip((30, 27), MULTIPLIERS, strict=True):
            state = ((state ^ (state >> shift)) * multiplier) & MASK
        state ^= state >> 31
    return state


@lru_cache(maxsize=16)
def _counters(count: int, first: int, device: torch.device) -> Int[Tensor, "count"]:
    return torch.arange(first, first + count, device=device) * _signed(GOLDEN)


def offsets(keys: list[int], device: torch.device | str) -> Int[Tensor, "S"]:
    """Where each key's stream begins."""
    return memory.sent(torch.tensor([_signed(k) for k in keys]), torch.device(device))


def bits(keys: list[int], count: int, first: int = 0, device: torch.device | str = "cpu") -> Int[Tensor, "S count"]:
    """`count` 64-bit words of each key's stream, from word number `first` on."""
    z = _counters(count, first, torch.device(device)) + offsets(keys, device)[:, None]
    for shift, multiplier in zip((30, 27), MULTIPLIERS, strict=True):
        z.bitwise_xor_((z >> shift).bitwise_and_((1 << (64 - shift)) - 1)).mul_(_signed(multiplier))
    return z.bitwise_xor_((z >> 31).bitwise_and_((1 << 33) - 1))


def uniform(
    keys: list[int], rows: int, columns: int, first_row: int = 0, device: torch.device | str = "cpu"
) -> Float[Tensor, "S rows columns"]:
    """float32 uniforms in [0, 1) with 24 random bits."""
    z = bits(keys, rows * columns, first_row * columns, device)
    return ((z >> 40).bitwise_and_((1 << 24) - 1)).float().mul_(2.0**-24).view(len(keys), rows, columns)


def integers(
    keys: list[int], rows: int, high: int, first_row: int = 0, device: torch.device | str = "cpu"
) -> Int[Tensor, "S rows"]:
    """Integers in [0, high); the bias of the modulus is below high / 2^63."""
    return bits(keys, rows, first_row, device).bitwise_and_((1 << 63) - 1).remainder_(high)


def normal(
    keys: list[int], rows: int, columns: int, first_row: int = 0, device: torch.device | str = "cpu"
) -> Float[Tensor, "S rows columns"]:
    """float32 standard normals by Box and Muller: one 64-bit word gives two, which stay within one row."""
    half = (columns + 1) // 2
    if torch.device(device).type == "cuda" and find_spec("triton"):
        from datamodules.random_triton import normals

        return normals(offsets(keys, device), rows, half, first_row)[..., :columns]
    z = bits(keys, rows * half, first_row * half, device)
    angle = (z & 0xFFFFFF).float().mul_(2.0**-23 * math.pi).view(len(keys), rows, half)
    # (k + 1/2) / 2^24 lies strictly inside (0, 1), so the logarithm is finite.
    radius = z.bitwise_right_shift_(40).bitwise_and_(0xFFFFFF).float().add_(0.5).mul_(2.0**-24).log_().mul_(-2).sqrt_()
    radius = radius.view(len(keys), rows, half)
    out = torch.empty(len(keys), rows, 2 * half, device=angle.device)
    torch.mul(angle.cos(), radius, out=out[..., :half])
    torch.mul(angle.sin_(), radius, out=out[..., half:])
    return out[..., :columns]
