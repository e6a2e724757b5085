"""Free memory, asked for before something large is made, and the way into a GPU's."""

from pathlib import Path

import psutil
import torch
from torch import Tensor

CPU = torch.device("cpu")
CGROUP = Path("/sys/fs/cgroup")


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of this machine's on a device; on a GPU from pinned memory, as any other copy waits for all that the GPU still has to do."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def free_bytes(device: torch.device = CPU) -> int:
    """Bytes that a process can still get on a device, on this machine itself without swapping."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    limit, used, kinds = (CGROUP / name for name in ("memory.max", "memory.current", "memory.stat"))
    free = psutil.virtual_memory().available
    if limit.exists() and (most := limit.read_text().strip()) != "max":  # of a container or a cluster's job
        stat = dict(line.split() for line in kinds.read_text().splitlines())
        reclaimable = int(stat["inactive_file"])  # the system's copies of files, which give way
        free = min(free, int(most) - int(used.read_text()) + reclaimable)
    return free


def check(what: str, need: int, remedy: str) -> None:
    """Raises ValueError: `what` takes more bytes than are free."""
    if need > (free := free_bytes()):
        raise ValueError(f"{what} need {need:,} bytes, and {free:,} are free; {remedy}")
