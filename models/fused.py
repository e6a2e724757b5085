"""Many updates of small deep linear networks in one call: a C kernel on the CPU, a Triton kernel on CUDA.

Each network stays in the cache of one core, or in the registers of one block of threads, for all updates of a chunk. It is
the arithmetic of models.population, chosen where it applies: SGD without momentum, a target without weights of its own,
matrices that fit, float32 (on the CPU float64 too). C is compiled when first used, in a fraction of a second, for the
processor it runs on: the library's batched product of 32 x 32 matrices reaches half of what the core can do.
"""

import ctypes
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from models import threads

WIDEST = 64  # beyond which the library's products are better (CPU), or a network does not fit on the chip (CUDA)
PATIENCE = 60.0  # seconds for the compiler, which takes less than one
C_TYPES = {torch.float32: "float", torch.float64: "double"}


@torch.no_grad()
def train(
    weights: list[Tensor],
    moments: tuple[Float[Tensor, "S d d"], Float[Tensor, "S d d"], Float[Tensor, "S d d"]],
    rate: Float[Tensor, "N M"],
    keep: Float[Tensor, "N M"],
    latent: bool,
    updates: int,
) -> Float[Tensor, "N"]:
    """`updates` updates w <- keep w - rate gradient of N networks, in place, and the losses before the last one.

    Args:
        weights: layers and head [N, out, in].
        moments: Sxx, Syx, Syy of each network's data, or of all.
        rate: learning rate of every weight.
        keep: what every weight is multiplied by at an update: 1 - rate x weight decay.
        latent: whether the target is the encoder's output for y (JEPA) or y (MAE).
    """
    first, D = weights[0], width(weights)
    assert {len(S) for S in moments} in ({1}, {len(first)}), "the kernels read as many moments as there are, or networks"
    d = first.shape[2]
    assert all(S.shape[1:] == (d, d) for S in moments), f"moments of {d} inputs, found {[tuple(S.shape) for S in moments]}"
    made, (Sxx, Syx, Syy) = [pad(w.detach(), D) for w in weights], (pad(S.to(first), D) for S in moments)
    rate, keep, losses = rate.to(first).contiguous(), keep.to(first).contiguous(), first.new_empty(len(first))
    if first.is_cuda:
        from models.fused_triton import launch as run
    else:
        run = _on_cores
    run(made, (Sxx, Syx, Syy), rate, keep, latent, updates, losses)
    for weight, changed in zip(weights, made, strict=True):
        if changed.data_ptr() != weight.data_ptr():
            weight.copy_(changed[:, : weight.shape[1], : weight.shape[2]])
    return losses


def pad(matrices: Float[Tensor, "_ p q"], D: int) -> Float[Tensor, "_ D D"]:
    """With zeros, which stay zero; the matrices themselves where they are D x D already."""
    missing = D - matrices.shape[1], D - matrices.shape[2]
    return (functional.pad(matrices, (0, missing[1], 0, missing[0])) if any(missing) else matrices).contiguous()


def _on_cores(
    weights: list[Tensor], moments: tuple[Tensor, ...], rate: Tensor, keep: Tensor, latent: bool, updates: int, losses: Tensor
) -> None:
    kernel = library(rate.dtype)
    assert kernel is not None, "applies() was not asked"
    N, D, _ = weights[0].shape
    layers = (ctypes.c_void_p * len(weights))(*(w.data_ptr() for w in weights))
    data = [S.data_ptr() for S in moments]
    stride, depth, workers = 0 if len(moments[0]) == 1 else D * D, len(weights) - 1, torch.get_num_threads()
    size = max(1, N // (4 * workers))  # several blocks a core: cores are not equally fast

    def block(first: int) -> None:
        room, last = rate.new_empty(depth + 4, D, D), min(first + size, N)
        kernel.train(
            layers, *data, stride, rate.data_ptr(), keep.data_ptr(), first, last, depth, D, int(latent), updates,
            losses.data_ptr(), room.data_ptr(),
        )  # fmt: skip

    list(threads.pool(workers).map(block, range(0, N, size)))


def width(weights: list[Tensor]) -> int:
    """What these matrices are padded to."""
    return padded(max(max(w.shape[1:]) for w in weights), weights[0].device.type)


def padded(widest: int, device: str) -> int:
    """A multiple of 8 on the CPU, a power of two from 16 on CUDA."""
    return max(16, 1 << (widest - 1).bit_length()) if device == "cuda" else -(-widest // 8) * 8


def applies(weights: list[Tensor]) -> bool:
    """Whether there is a kernel for these matrices on this machine."""
    device, dtype, D = weights[0].device, weights[0].dtype, width(weights)
    if D > WIDEST:
        return False
    if device.type == "cpu":
        return dtype in C_TYPES and library(dtype) is not None
    if device.type != "cuda" or dtype != torch.float32 or find_spec("triton") is None:
        return False
    return shared_bytes(len(weights) - 1, D) <= torch.cuda.get_device_properties(device).shared_memory_per_block_optin


def shared_bytes(depth: int, D: int) -> int:
    """The most shared memory that the CUDA kernel takes: every weight and partial product once, and a few more matrices."""
    return 4 * (2 * depth + 4) * D * D


@cache
def library(dtype: torch.dtype) -> ctypes.CDLL | None:
    """The C kernel, compiled for this processor; none, and a line on stderr, where it cannot be compiled or loaded."""
    options = ["-O3", "-march=native", "-shared", "-fPIC", f"-DREAL={C_TYPES[dtype]}", str(Path(__file__).with_suffix(".c"))]
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "fused.so"
        try:
            compile_c([*compiler(), *options, "-o", str(made)])
            found = ctypes.CDLL(str(made))
            pointer, number = ctypes.c_void_p, ctypes.c_int
            found.train.argtypes = [pointer] * 4 + [ctypes.c_size_t] + [pointer] * 2 + [number] * 6 + [pointer] * 2
            found.train.restype = None
        except (OSError, ValueError, AttributeError, ChildProcessError, subprocess.TimeoutExpired) as error:
            say(" ".join(str(error).split()))
            return None
    return found


def compiler() -> list[str]:
    """The command in the variable CC, its arguments apart, or else the first compiler that is installed.

    Raises:
        ValueError: CC has a quotation without an end.
    """
    if named := shlex.split(os.environ.get("CC", "")):
        return named
    return [next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), "cc")]


def compile_c(command: list[str]) -> None:
    """Run a compiler, with all that it starts, for at most PATIENCE seconds.

    Raises:
        ChildProcessError: it fails; has what it said.
        TimeoutExpired: it does not end.
        OSError: it cannot be run.
    """
    with tempfile.TemporaryFile() as said:  # a pipe would be waited for while anything that it started is alive
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True)
        try:
            code = process.wait(PATIENCE)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        said.seek(0)
        if code:
            raise ChildProcessError(f"{' '.join(command)}: {said.read().decode(errors='replace')}")


@cache
def say(reason: str) -> None:
    print(
        f"study: no C kernel, small linear stacks train at half speed: {reason[:400]}; install a C compiler or name it in the "
        "variable CC, and let TMPDIR be a folder from which libraries can be loaded",
        file=sys.stderr,
    )
