"""Many updates of small deep linear networks in one call: a C kernel on the CPU, a Triton kernel on CUDA.

Each network stays in the cache of one core, or in the registers of one block of threads, for all updates of a chunk. It is
the arithmetic of models.population in float32, chosen where it applies: SGD without momentum, a target without weights of
its own, matrices that fit. C is compiled when first used, in a fraction of a second, for the processor it runs on: the
library's batched product of 32 x 32 matrices reaches half of what the core can do.
"""

import ctypes
import os
import shutil
import subprocess
import tempfile
import warnings
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from models import threads
from models.padding import square

WIDEST = 64  # beyond which the library's products are better (CPU), or a network does not fit on the chip (CUDA)


class Fused:
    """N networks as one padded tensor W [N, M, D, D] (layers, then the head) that `advance` changes.

    Args:
        weights: layers and head [N, out, in], float32; they are copied.
        Sxx, Syx: moments of each network's data, or of all.
        rate: learning rate of every weight.
        keep: what every weight is multiplied by at an update: 1 - rate x weight decay.
        latent: whether the target is the encoder's output for y (JEPA) or y (MAE).
    """

    def __init__(
        self,
        weights: list[Tensor],
        Sxx: Float[Tensor, "S d d"],
        Syx: Float[Tensor, "S d d"],
        rate: Float[Tensor, "N M"],
        keep: Float[Tensor, "N M"],
        latent: bool,
    ) -> None:
        D = padded(weights)
        self.shapes, self.latent = [w.shape[1:] for w in weights], latent
        self.W, self.rate, self.keep = square(weights, D), rate.contiguous(), keep.contiguous()
        self.Sxx, self.Syx = (square([S], D).contiguous() for S in (Sxx, Syx))

    @property
    def weights(self) -> list[Tensor]:
        """Views of the layers and the head, without padding."""
        return [self.W[:, i, :rows, :columns] for i, (rows, columns) in enumerate(self.shapes)]

    def advance(self, updates: int) -> None:
        """So many updates of all networks."""
        if self.W.is_cuda:
            from models.fused_triton import launch

            launch(self.W, self.Sxx, self.Syx, self.rate, self.keep, self.latent, updates)
            return
        kernel = library()
        assert kernel is not None
        N, M, D, _ = self.W.shape
        stride = 0 if len(self.Sxx) == 1 else D * D
        workers = torch.get_num_threads()
        size = max(1, N // (4 * workers))  # several blocks a core: cores are not equally fast

        def train(first: int) -> None:
            room = torch.empty(M + 3, D, D)
            data = [S[first if stride else 0 :].data_ptr() for S in (self.Sxx, self.Syx)]
            own = [t[first:].data_ptr() for t in (self.rate, self.keep)]
            count = min(size, N - first)
            kernel.train(
                self.W[first:].data_ptr(), *data, stride, *own, count, M - 1, D, int(self.latent), updates, room.data_ptr()
            )

        list(threads.pool(workers).map(train, range(0, N, size)))


def padded(weights: list[Tensor]) -> int:
    """The width all matrices are padded to: a multiple of 16 on the CPU, a power of two from 16 on CUDA."""
    widest = max(max(w.shape[1:]) for w in weights)
    return max(16, 1 << (widest - 1).bit_length()) if weights[0].is_cuda else -(-widest // 16) * 16


def applies(weights: list[Tensor]) -> bool:
    """Whether there is a kernel for these matrices on this machine."""
    device, D = weights[0].device, padded(weights)
    if weights[0].dtype != torch.float32 or D > WIDEST:
        return False
    if device.type == "cpu":
        return library() is not None
    if device.type != "cuda" or find_spec("triton") is None:
        return False
    return shared_bytes(len(weights) - 1, D) <= torch.cuda.get_device_properties(device).shared_memory_per_block_optin


def shared_bytes(depth: int, D: int) -> int:
    """Shared memory of the CUDA kernel: every weight and partial product once, and three more matrices."""
    return 4 * (2 * depth + 3) * D * D


@cache
def library() -> ctypes.CDLL | None:
    """The C kernel, compiled for this processor; none, and a warning, where there is no C compiler."""
    compiler = next(filter(None, map(shutil.which, (os.environ.get("CC", "cc"), "gcc", "clang"))), None)
    source = Path(__file__).with_suffix(".c")
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "fused.so"
        command = [compiler or "cc", "-O3", "-march=native", "-shared", "-fPIC", str(source), "-o", str(made)]
        if compiler is None or subprocess.run(command, capture_output=True).returncode:
            warnings.warn(
                f"no C compiler that can do `{' '.join(command)}`: small linear stacks train at half speed. Install one, or "
                "name it in the variable CC",
                stacklevel=2,
            )
            return None
        found = ctypes.CDLL(str(made))
    pointer, number = ctypes.c_void_p, ctypes.c_int
    found.train.argtypes = [pointer] * 3 + [ctypes.c_size_t] + [pointer] * 2 + [number] * 5 + [pointer]
    found.train.restype = None
    return found
