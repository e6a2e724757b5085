"""What the processes of a distributed run share."""

import torch
from jaxtyping import Float
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


class _Gathered(torch.autograd.Function):
    """The batches of all processes, and of their gradient this process's share: R times it, as gradients are averaged over R
    processes later, each of which has the derivative with respect to its own share alone."""

    @staticmethod
    def forward(ctx, mine: Tensor) -> Tensor:
        ctx.size = mine.shape[1]
        parts = [torch.empty_like(mine) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, mine.contiguous())
        return torch.cat(parts, 1)

    @staticmethod
    def backward(ctx, whole: Tensor) -> Tensor:
        first = distributed.get_rank() * ctx.size
        return whole[:, first : first + ctx.size] * distributed.get_world_size()


def gathered(mine: Float[Tensor, "N b m"]) -> Float[Tensor, "N B m"]:
    """The rows of all processes, in their order, with gradient; this process's where it is alone."""
    if not distributed.is_available() or not distributed.is_initialized():
        return mine
    return _Gathered.apply(mine)


def leave() -> None:
    """End this process's share in the group, where it has one. To be called while the interpreter is whole: threads of gloo that
    outlive it now and then abort a process whose work is done, and Lightning does so only for NCCL."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()
