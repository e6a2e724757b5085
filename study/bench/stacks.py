"""Deep linear networks on exact moments: network-steps per second over the number, width and depth of the networks."""

import os

import torch

from study.bench import lightning_peer, linear_peers
from study.bench.base import Method, Row, Run, measure, peak_rows, peaks
from study.bench.problem import Problem

NETWORKS, WIDTHS, DEPTHS = (1, 16, 256, 4096), (16, 32, 64, 128), (2, 4, 8)
COPIES = 8  # of the weights, that all methods together keep: weights, gradients, partial products


def sizes() -> list[tuple[int, int, int]]:
    """(N, d, L): every number of networks, every width, every depth, the other two at 256, 32, 4."""
    found = [*((N, 32, 4) for N in NETWORKS), *((256, d, 4) for d in WIDTHS), *((256, 32, L) for L in DEPTHS)]
    return list(dict.fromkeys(found))


def by_jax(problem: Problem) -> Run:
    """Raises ModuleNotFoundError where JAX, or JAX for this device, is not installed."""
    import jax

    from study.bench.jax_peer import Jax

    if problem.device == "cuda" and jax.default_backend() != "gpu":
        raise ModuleNotFoundError("no JAX for CUDA", name="jax for CUDA")
    return Jax(problem)


def methods(problem: Problem) -> list[Method]:
    """All ways to train; loops train a few of the networks, which costs each network the same."""
    loop, runs = min(problem.networks, linear_peers.SHOWN), min(problem.networks, lightning_peer.SHOWN)
    return [
        Method("ours", lambda: linear_peers.Ours(problem), problem.networks),
        Method("Lightning, one run per network", lambda: lightning_peer.PerNetwork(problem, runs), runs),
        Method("PyTorch loop", lambda: linear_peers.BareLoop(problem, loop), loop),
        Method("torch.func.vmap(grad)", lambda: linear_peers.Vmap(problem), problem.networks),
        Method("JAX jit(vmap)", lambda: by_jax(problem), problem.networks),
    ]


def free_bytes(device: str) -> int:
    if device == "cuda":
        return torch.cuda.mem_get_info()[0]
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2  # the rest may be in use


def rows(device: str, chosen: list[tuple[int, int, int]] | None = None) -> list[Row]:
    """All sizes, or the chosen ones."""
    peak = peaks(device)
    found = peak_rows(peak, "stacks", device)
    for size in chosen or sizes():
        problem, unit = Problem(*size, device=device), "network-steps/s"
        if COPIES * 5 * problem.networks * problem.bytes / 2 > free_bytes(device):
            found.append(Row("stacks", problem.case, "all", unit, note="left out: does not fit into memory"))
            continue
        found += measure("stacks", problem.case, methods(problem), unit, device, peak, problem.flop, problem.bytes)
    return found
