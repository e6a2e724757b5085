"""The directions that an encoder is held against.

Shapes: S data sets, d inputs, f directions.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from datamodules.moments import Strongest
from datamodules.products import Products


@dataclass(frozen=True)
class Group:
    """Some features of each data set."""

    lam: Float[Tensor, "S f"]
    rho: Float[Tensor, "S f"]
    directions: Float[Tensor, "S d f"]
    variance: Float[Tensor, "S f"]  # v^T Sxx v
    residual: Float[Tensor, "S f"]  # |Syx v - rho Sxx v| / |Syx v|

    @classmethod
    def of(cls, features: list[Strongest], products: list[Products], rows: list[list[int]], device: torch.device) -> "Group":
        found = []
        for all_, product, row in zip(features, products, rows, strict=True):
            lam, rho, v = all_.lam[row], all_.rho[row], all_.directions[:, row]
            Syx_v, difference_v = product.products(v)
            residual = ((1 - rho) * Syx_v - rho * difference_v).norm(dim=0) / Syx_v.norm(dim=0)
            found.append((lam, rho, v, (v * (Syx_v + difference_v)).sum(0), residual))
        return cls(*(torch.stack(parts).to(device) for parts in zip(*found, strict=True)))

    def coordinates(self, views: Iterable[Float[Tensor, "S _ d"]]) -> Float[Tensor, "S n f"]:
        """v^T x of each direction."""
        return torch.cat([x.to(self.directions) @ self.directions for x in views], 1)


def chosen(features: Strongest, recorded: int) -> list[int]:
    """Numbers of the features whose gain is recorded: half by rho, filled up by lambda to the same number for all."""
    by_rho = features.tops("rho", recorded - max(1, recorded // 2)).tolist()
    by_lam = [i for i in features.tops("lam", len(features.lam)).tolist() if i not in by_rho]
    return sorted([*by_rho, *by_lam][:recorded])
