"""Gaussian pairs with given features: exact moments, and samples that have them."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from datamodules import memory, random
from datamodules.moments import Features, Moments
from datamodules.pairs import LinearPairs

BASIS, SAMPLES = 1, 2  # streams of random numbers


class GaussianPairs(LinearPairs):
    """Pairs with Sxx = Q diag(lam / rho) Q^T and Syx = Q diag(lam) Q^T (Littwin et al. 2024, assumption of section 2).

    Var y is set to lam max(1 / rho, rho): equal to Var x where rho <= 1, and the smallest possible where rho > 1.

    Args:
        lam: covariance of each feature, > 0; one list for all networks or one list per network.
        rho: regression coefficient of each feature, > 0; same shape as `lam`.
        basis: "diagonal" (Q = I) or "rotated" (Q random orthogonal, drawn from `seed`).
        seed: fixes the basis and the samples.
        batch: pairs per update, or None to train on the exact moments (full gradient).
        updates: number of updates.
        chunk: updates per Lightning step.

    Raises:
        ValueError: lists of different shape, or a value that is not positive.
    """

    def __init__(
        self,
        lam: list[float] | list[list[float]],
        rho: list[float] | list[list[float]],
        basis: Literal["diagonal", "rotated"] = "diagonal",
        seed: int = 0,
        batch: int | None = None,
        updates: int = 1000,
        chunk: int = 100,
    ) -> None:
        super().__init__(updates, chunk, batch)
        self.lam_SD, self.rho_SD = (torch.tensor(v, dtype=torch.float64) for v in (lam, rho))
        if self.lam_SD.shape != self.rho_SD.shape or self.lam_SD.numel() == 0:
            raise ValueError(
                f"lam and rho must be non-empty and of the same shape, "
                f"found {tuple(self.lam_SD.shape)} and {tuple(self.rho_SD.shape)}"
            )
        for name, values in (("lam", self.lam_SD), ("rho", self.rho_SD)):
            if not bool(((values > 0) & values.isfinite()).all()):
                raise ValueError(f"every {name} must be positive and finite, found {values.min().item():g}")
        self.lam_SD, self.rho_SD = torch.atleast_2d(self.lam_SD), torch.atleast_2d(self.rho_SD)
        self.seed = seed
        self.sets, self.inputs = self.lam_SD.shape
        d = self.inputs
        self.basis_dd = torch.eye(d, dtype=torch.float64)
        if basis == "rotated":
            self.basis_dd = torch.linalg.qr(random.normal([random.key(seed, BASIS)], d, d)[0].double())[0]

    def _rotated(self, diagonal_SD: Float[Tensor, "S d"]) -> Float[Tensor, "S d d"]:
        return (self.basis_dd * diagonal_SD[:, None]) @ self.basis_dd.T

    def _var_y_SD(self) -> Float[Tensor, "S d"]:
        return self.lam_SD * torch.maximum(1 / self.rho_SD, self.rho_SD)

    def moments(self) -> list[Moments]:
        """The exact moments, one per list of features."""
        Sxx, Syx, Syy = (self._rotated(v) for v in (self.lam_SD / self.rho_SD, self.lam_SD, self._var_y_SD()))
        return [Moments(*stack) for stack in zip(Sxx, Syx, Syy, strict=True)]

    def features(self) -> list[Features]:
        """The features, in the order of the arguments."""
        Sxx = self._rotated(self.lam_SD / self.rho_SD)
        return [Features(lam, rho, self.basis_dd, S) for lam, rho, S in zip(self.lam_SD, self.rho_SD, Sxx, strict=True)]

    def sample(
        self, update: int, count: int, device: torch.device | str = "cpu", first: int = 0
    ) -> tuple[Float[Tensor, "S count d"], Float[Tensor, "S count d"]]:
        """Pairs number `first` to `first + count` of update number `update`: y = rho x + an independent remainder."""
        d = self.inputs
        keys = [random.key(self.seed, SAMPLES, update, s) for s in range(self.sets)]
        z = random.normal(keys, count, 2 * d, first, device)
        remainder_SD = (self._var_y_SD() - self.lam_SD * self.rho_SD).clamp(min=0).sqrt()
        constants = (self.lam_SD / self.rho_SD).sqrt(), self.rho_SD, remainder_SD, self.basis_dd
        std, rho, remainder, basis = (memory.sent(constant.to(z.dtype), z.device) for constant in constants)
        x = z[..., :d] * std[:, None]
        y = rho[:, None] * x + remainder[:, None] * z[..., d:]
        return x @ basis.T, y @ basis.T
