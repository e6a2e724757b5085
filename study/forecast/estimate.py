"""How certain lam and rho of chosen directions are: directions that were chosen on samples look better there than elsewhere.

Shapes: d inputs, k directions, B blocks.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from datamodules import Moments, random
from study.forecast.end_state import EndState, Whitened
from study.forecast.moments import Blocks

WIDE = 1024
RESAMPLES = 1000
RESAMPLING = -6  # stands where the data's streams of random numbers have their seed


@dataclass(frozen=True)
class Estimate:
    """lam and rho of an end state's directions, without the optimism of having been chosen, and 95 % intervals of rho: over blocks, wider
    by the optimism, as what is taken off neglects higher orders of its own size."""

    lam: Float[Tensor, "k"]
    rho: Float[Tensor, "k"]
    rho_low: Float[Tensor, "k"]
    rho_high: Float[Tensor, "k"]
    optimism: Float[Tensor, "k"]  # what was taken off rho


def estimated(blocks: Blocks, end: EndState) -> Estimate:
    """Corrects JEPA's end state, found on all blocks.

    The i-th highest rho of n samples is too high by about b / n, and its direction has on other samples a rho that is too low by as
    much (second order of perturbation theory). Chosen on all blocks but one, a share c of the samples, and judged on that one, the
    difference is 2 b / (c n): c / 2 of it is the optimism on all samples (theory, section 7). Of more than WIDE inputs, where a choice
    takes seconds, two blocks are judged and not all, which makes intervals wider."""
    k, B, d = len(end.features.rho), blocks.count, len(end.encoder[0])
    judged = range(B) if d <= WIDE else (0, B // 2)
    optimism = (B - 1) / B / 2 * torch.stack([_gap(blocks, block, k) for block in judged]).mean(0).clamp(min=0)
    v, turned = end.features.directions, end.turned
    rho, variance = end.features.rho - optimism, ((blocks.moments().Sxx @ v) * v).sum(0)
    # Half of all blocks' mean and half of the judged ones' is what is left, so that the variance is that of all times this.
    wider = (0.75 + 0.25 * B / len(judged)) ** 0.5
    low, high = (wider * (bound - end.features.rho) for bound in interval(blocks, v, turned))
    low, high = rho - (low**2 + optimism**2).sqrt(), rho + (high**2 + optimism**2).sqrt()
    return Estimate(rho * variance, rho, low, high, optimism)


def _gap(blocks: Blocks, block: int, k: int) -> Float[Tensor, "k"]:
    """By how much the k highest rho of all other blocks exceed those of the same directions in this one."""
    others = Whitened(blocks.moments([b for b in range(blocks.count) if b != block]))
    end = others.jepa(min(k, others.rank), 1)
    gap = end.features.rho - quotient(blocks.moments([block]), end.features.directions, end.turned)[1]
    return torch.cat([gap, gap[-1:].expand(k - len(gap))])


def quotient(
    moments: Moments, v: Float[Tensor, "d k"], turned: Float[Tensor, "d k"]
) -> tuple[Float[Tensor, "k"], Float[Tensor, "k"]]:
    """lam and rho along directions."""
    lam = ((moments.Syx @ turned) * v).sum(0)
    return lam / v.square().sum(0), lam / ((moments.Sxx @ v) * v).sum(0)


def interval(
    blocks: Blocks, v: Float[Tensor, "d k"], turned: Float[Tensor, "d k"]
) -> tuple[Float[Tensor, "k"], Float[Tensor, "k"]]:
    """95 % of rho along directions when blocks are drawn with replacement: moments along a direction are means over blocks."""
    B = blocks.count
    along = []  # one block's moments at a time: all of them together are gigabytes
    for b in range(B):
        part = blocks.moments([b])
        along.append(torch.stack([((S @ u) * v).sum(0) for S, u in ((part.Syx, turned), (part.Sxx, v))]))
    cross, square = torch.stack(along, 1)
    drawn = random.integers([random.key(RESAMPLING)], RESAMPLES * B, B)[0].view(RESAMPLES, B)
    rho = cross[drawn].mean(1) / square[drawn].mean(1)
    # B resampled means vary by (B - 1) / B of what means do.
    centre = cross.mean(0) / square.mean(0)
    spread = centre + (rho - centre) * (B / (B - 1)) ** 0.5
    low, high = torch.quantile(spread, torch.tensor([0.025, 0.975]).to(spread), dim=0)
    return low, high
