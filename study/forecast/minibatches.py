"""Minibatches of Gaussian pairs that have given moments: what training on samples fluctuates like, without a sample.

Shapes: d inputs, B pairs.
"""

import torch

from datamodules import Moments, Pair, View, random
from study.forecast.end_state import root

STREAM = -8  # stands where the data's streams of random numbers have their seed


class Minibatches:
    """x = K z and y = G z + C z' with independent normal z, z': K K^T = Sxx, G K^T = Syx and G G^T + C C^T = Syy.

    Args:
        moments: what the pairs have in the mean.
        batch: pairs of an update.
        seed: fixes them, together with the number of the update.
        dtype: of what is drawn.
    """

    def __init__(self, moments: Moments, batch: int, seed: int, dtype: torch.dtype) -> None:
        whitening = root(moments.Sxx)  # z = whitening^T x
        K, G = moments.Sxx @ whitening, moments.Syx @ whitening
        values, vectors = torch.linalg.eigh(moments.Syy - G @ G.mT)
        C = vectors * values.clamp(min=0).sqrt()
        self.factor = torch.cat([torch.cat([K, torch.zeros_like(C)], 1), torch.cat([G, C], 1)]).mT.to(dtype)
        self.batch, self.seed = batch, seed

    def pairs(self, update: int) -> Pair:
        """The pairs of an update, [1, B, d] on either side."""
        z = random.normal([random.key(STREAM, self.seed, update)], self.batch, len(self.factor))[0].to(self.factor.dtype)
        x, y = (z @ self.factor)[None].chunk(2, -1)
        return Pair(View(x), View(y))
