"""What the processes of a distributed run share."""

import torch
from torch import Tensor, distributed


def average(tensors: list[Tensor]) -> None:
    """Replace tensors of one type by their means over all processes, in one exchange; nothing where there is one process."""
    if not distributed.is_available() or not distributed.is_initialized():
        return
    flat = torch.cat([t.flatten() for t in tensors])
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    for t, mean in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
        t.copy_(mean.view_as(t))


def leave() -> None:
    """End this process's share in the group, where it has one. To be called while the interpreter is whole: threads of gloo that
    outlive it now and then abort a process whose work is done, and Lightning does so only for NCCL."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()
