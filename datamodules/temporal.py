"""Signals in noise: the static and the temporal linear model (Littwin et al. 2024; theory, section 5)."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from datamodules import memory, random
from datamodules.gaussian import BASIS, SAMPLES
from datamodules.moments import Features, Moments
from datamodules.pairs import LinearPairs


class TemporalPairs(LinearPairs):
    """x = z + n_1 and y = z' + n_2 with z' = gamma z + innovation, stationary; gamma = 1 is the static model y = z + n_2.

    Signal z has independent components of variance s in the signal's basis, noise has variance n in the noise's basis.
    Where the two bases agree, lam = gamma s and rho = gamma s / (s + n); otherwise Sxx and Syx do not commute, and the
    features are the generalised ones of `Moments.features`.

    Args:
        signal: variance s of each component, > 0; one list for all networks or one list per network.
        gamma: autocorrelation of each component, in [0, 1]; same shape.
        noise: noise variance n of each component, > 0; same shape.
        basis: "diagonal", "rotated" (signal and noise in one random basis) or "noncommuting" (signal in a random basis,
            noise along the axes).
        samples: train on the moments of this many pairs, drawn once; none: on the exact moments.
        batch: pairs per update of minibatch training, or none for full gradients.
        seeds: one seed per data set, for its basis and samples; as many as there are lists, or one list for all seeds.
        updates: number of updates.
        chunk: updates per Lightning step.

    Raises:
        ValueError: lists of different shape, or a value outside its range.
    """

    def __init__(
        self,
        signal: list[float] | list[list[float]],
        gamma: list[float] | list[list[float]],
        noise: list[float] | list[list[float]],
        basis: Literal["diagonal", "rotated", "noncommuting"] = "diagonal",
        samples: int | None = None,
        batch: int | None = None,
        seeds: list[int] = [0],  # noqa: B006 - shown by LightningCLI, never changed
        updates: int = 1000,
        chunk: int = 100,
    ) -> None:
        super().__init__(updates, chunk, batch)
        parts = [torch.atleast_2d(torch.tensor(v, dtype=torch.float64)) for v in (signal, gamma, noise)]
        if len({p.shape for p in parts}) > 1 or parts[0].numel() == 0:
            raise ValueError(f"signal, gamma and noise need one shape, found {', '.join(str(tuple(p.shape)) for p in parts)}")
        for name, values, high in zip(("signal", "gamma", "noise"), parts, (float("inf"), 1.0, float("inf")), strict=True):
            good = (values >= 0 if name == "gamma" else values > 0) & (values <= high) & values.isfinite()
            if not bool(good.all()):
                limits = "in [0, 1]" if name == "gamma" else "positive and finite"
                raise ValueError(f"every {name} must be {limits}, found {values[~good][0].item():g}")
        if samples is not None and samples < 1:
            raise ValueError(f"samples must be at least 1 or none (exact moments), found {samples}")
        if samples is not None and batch is not None:
            raise ValueError(
                f"samples = {samples} is for full gradients and batch = {batch} for fresh pairs; give one of the two"
            )
        if len(parts[0]) not in (1, len(seeds)) or not seeds:
            raise ValueError(f"give one list for all seeds or one list per seed, found {len(parts[0])} for {len(seeds)} seeds")
        self.signal_SD, self.gamma_SD, self.noise_SD = (p.expand(len(seeds), -1) for p in parts)
        self.basis, self.samples, self.seeds = basis, samples, list(seeds)
        self.sets, self.inputs = self.signal_SD.shape
        d = self.inputs
        self.basis_Sdd = torch.eye(d, dtype=torch.float64).repeat(self.sets, 1, 1)
        if basis != "diagonal":
            drawn = random.normal([random.key(seed, BASIS) for seed in seeds], d, d).double()
            self.basis_Sdd = torch.linalg.qr(drawn)[0]

    def _spread(self, diagonal_SD: Float[Tensor, "S d"], basis_Sdd: Float[Tensor, "S d d"]) -> Float[Tensor, "S d d"]:
        return (basis_Sdd * diagonal_SD[:, None]) @ basis_Sdd.mT

    def exact(self) -> list[Moments]:
        """The moments of the distribution."""
        Q = self.basis_Sdd
        N = self._spread(self.noise_SD, torch.eye(self.inputs).to(Q).expand_as(Q) if self.basis == "noncommuting" else Q)
        Sxx, Syx = self._spread(self.signal_SD, Q) + N, self._spread(self.gamma_SD * self.signal_SD, Q)
        return [Moments(*stack) for stack in zip(Sxx, Syx, Sxx, strict=True)]

    def moments(self) -> list[Moments]:
        """The moments that training sees: exact, or those of the samples."""
        if self.samples is None:
            return self.exact()
        return [Moments.of(x, y) for x, y in zip(*self.sample(0, self.samples), strict=True)]

    def features(self) -> list[Features]:
        """The features of the distribution: in the order of the arguments where the moments commute."""
        if self.basis == "noncommuting":
            return [m.features() for m in self.exact()]
        lam = self.gamma_SD * self.signal_SD
        rho = lam / (self.signal_SD + self.noise_SD)
        Sxx = [m.Sxx for m in self.exact()]
        return [Features(*stack) for stack in zip(lam, rho, self.basis_Sdd, Sxx, strict=True)]

    def sample(
        self, update: int, count: int, device: torch.device | str = "cpu", first: int = 0
    ) -> tuple[Float[Tensor, "S count d"], Float[Tensor, "S count d"]]:
        """Pairs number `first` to `first + count` of update number `update`."""
        d = self.inputs
        keys = [random.key(seed, SAMPLES, update) for seed in self.seeds]
        z = random.normal(keys, count, 4 * d, first, device)
        constants = self.signal_SD[:, None], self.gamma_SD[:, None], self.noise_SD[:, None], self.basis_Sdd.mT
        s, gamma, n, Q = (memory.sent(constant.to(z.dtype), z.device) for constant in constants)
        signal = s.sqrt() * z[..., :d]
        following = gamma * signal + (s * (1 - gamma**2)).sqrt() * z[..., d : 2 * d]
        noise_1, noise_2 = n.sqrt() * z[..., 2 * d : 3 * d], n.sqrt() * z[..., 3 * d :]
        if self.basis != "noncommuting":
            noise_1, noise_2 = noise_1 @ Q, noise_2 @ Q
        return signal @ Q + noise_1, following @ Q + noise_2
