"""One thread per core for work on a stack that is split by networks."""

from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch
from threadpoolctl import threadpool_limits


def _alone() -> None:
    """Gives the calling thread no helpers: small products gain nothing from them. Not by torch.set_num_threads, which acts
    on all threads, and after which batched factorisations fail (torch 2.15 with MKL)."""
    torch.get_num_threads()  # else torch sets the number itself later
    threadpool_limits(1, user_api="openmp")


@cache
def pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, initializer=_alone)
