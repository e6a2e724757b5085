"""Noise of known lambda and rho: a distractor in K orthonormal directions, and white pixel noise.

Shapes: S data sets, B pairs, d = 3 * size^2 pixels in the order (channel, row, column), K distractor directions.
"""

import itertools
import math
from dataclasses import dataclass, replace
from typing import Literal, assert_never

import torch
from jaxtyping import Float
from torch import Tensor

from datamodules import random

Kind = Literal["global", "patch", "smooth"]
PATCH = 4  # side of a patch in pixels
DIRECTIONS, ROWS, FLIPS, DISTRACTOR, NOISE, CROPS_X, CROPS_Y = range(7)  # streams of random numbers of noisy images


def check(kind: Kind, size: int, directions: int) -> None:
    """Raises ValueError: images of size x size pixels have not so many directions of this kind."""
    pixels = 3 * size * size
    if not 1 <= directions <= pixels:
        raise ValueError(f"directions must be from 1 to {pixels} (the pixels), found {directions}")
    if kind != "patch":
        return
    if size % PATCH:
        raise ValueError(f"size must be a multiple of {PATCH}, the side of a patch of the distractor, found {size}")
    if directions % (patches := (size // PATCH) ** 2):
        raise ValueError(
            f"directions must be a multiple of the {patches} patches of the distractor, up to {pixels}, found {directions}"
        )


def directions(kind: Kind, seeds: list[int], size: int, K: int) -> Float[Tensor, "S d K"]:
    """Orthonormal directions as columns, one set per seed.

    "global": random in all pixels. "patch": K / P random patterns, the same in each of the P patches of 4 x 4 pixels; column
    j P + p is pattern j in patch p. "smooth": the images of lowest frequency, the same for all seeds.

    Raises:
        ValueError: see `check`.
    """
    check(kind, size, K)
    keys = [random.key(s, DIRECTIONS) for s in seeds]
    match kind:
        case "global":
            return torch.linalg.qr(random.normal(keys, 3 * size * size, K))[0]
        case "patch":
            across = size // PATCH
            patterns = torch.linalg.qr(random.normal(keys, 3 * PATCH**2, K // across**2))[0]
            placed = torch.einsum("smj,pq->spmjq", patterns, torch.eye(across**2))
            grid = placed.unflatten(2, (3, PATCH, PATCH)).unflatten(1, (across, across))
            return grid.permute(0, 3, 1, 4, 2, 5, 6, 7).flatten(1, 5).flatten(2)
        case "smooth":
            return _smooth(size, K).expand(len(seeds), -1, -1)
        case _:
            assert_never(kind)


def _smooth(size: int, K: int) -> Float[Tensor, "d K"]:
    """Products of cos(pi u (2 i + 1) / (2 size)) down the rows and across (the orthonormal DCT-II), by rising u^2 + v^2; each
    in one colour channel after the other."""
    i = torch.arange(size, dtype=torch.float64)
    waves = (math.pi / (2 * size) * (2 * i[:, None] + 1) * i).cos()
    waves /= waves.norm(dim=0)
    frequencies = sorted(itertools.product(range(size), repeat=2), key=lambda uv: (uv[0] ** 2 + uv[1] ** 2, uv))
    u, v = torch.tensor(frequencies[: -(-K // 3)]).T
    images = (waves[:, None, u] * waves[:, v]).flatten(0, 1)
    channels = torch.eye(3, dtype=torch.float64)
    return torch.einsum("pf,cg->cpfg", images, channels).flatten(0, 1).flatten(1)[:, :K].float()


@dataclass(frozen=True)
class Noise:
    """What makes two views of an image: x = image + D a + n, y = image + D a' + n'.

    Var a = A^2, corr(a, a') = gamma; n and n' are white, of standard deviation sigma. The numbers of a view follow from the
    seed, an update number and the row.
    """

    D_SdK: Float[Tensor, "S d K"]
    seeds: list[int]
    amplitude: float
    gamma: float
    sigma: float

    def to(self, device: torch.device) -> "Noise":
        return replace(self, D_SdK=self.D_SdK.to(device))

    def of(self, index: int) -> "Noise":
        """The noise of one data set."""
        return replace(self, D_SdK=self.D_SdK[index : index + 1], seeds=self.seeds[index : index + 1])

    def coefficients(
        self, update: int, rows: int, first: int = 0
    ) -> tuple[Float[Tensor, "S {rows} K"], Float[Tensor, "S {rows} K"]]:
        """a / A and a' / A of an update's pairs number `first` to `first + rows`."""
        K = self.D_SdK.shape[-1]
        keys = [random.key(s, DISTRACTOR, update) for s in self.seeds]
        z = random.normal(keys, rows, 3 * K, first, self.D_SdK.device)
        common, own = z[..., :K] * self.gamma**0.5, (1 - self.gamma) ** 0.5
        return common + own * z[..., K : 2 * K], common + own * z[..., 2 * K :]

    def views(
        self, image: Float[Tensor, "S B d"], update: int, first: int = 0, other: Float[Tensor, "S B d"] | None = None
    ) -> tuple[Float[Tensor, "S B d"], Float[Tensor, "S B d"]]:
        """Two noisy views of the images, the second of `other` where it is given; they are those of an update's pairs from number
        `first` on."""
        B, d = image.shape[1:]
        keys = [random.key(s, NOISE, update) for s in self.seeds]
        n = random.normal(keys, B, 2 * d, first, image.device)
        x, y = (
            torch.baddbmm(white.mul_(self.sigma).add_(clean), a, self.D_SdK.mT, alpha=self.amplitude)
            for white, a, clean in zip(
                n.split(d, -1), self.coefficients(update, B, first), (image, image if other is None else other), strict=True
            )
        )
        return x, y

    def covariances(self) -> tuple[Float[Tensor, "S d d"], Float[Tensor, "d d"]]:
        """Of the distractor, A^2 D D^T, and of the white noise, sigma^2 I, in float64. Between the views the distractor's is
        gamma times as large, and the white noise has none."""
        D = self.D_SdK.double()
        return D @ D.mT * self.amplitude**2, self.sigma**2 * torch.eye(D.shape[1], dtype=D.dtype, device=D.device)

    def products(self, vectors: Float[Tensor, "d f"]) -> tuple[Float[Tensor, "d f"], Float[Tensor, "d f"]]:
        """Of one data set, in float64: covariance between the noise of two views, times v; and what is more within a view."""
        distractor = self.amplitude**2 * self._within(vectors)
        return self.gamma * distractor, (1 - self.gamma) * distractor + self.sigma**2 * vectors

    def solved(self, vectors: Float[Tensor, "d f"]) -> Float[Tensor, "d f"]:
        """The inverse of the second of these products: D is orthonormal."""
        own = (1 - self.gamma) * self.amplitude**2
        return (vectors - own / (own + self.sigma**2) * self._within(vectors)) / self.sigma**2

    def _within(self, vectors: Float[Tensor, "d f"]) -> Float[Tensor, "d f"]:
        D = self.D_SdK[0].to(vectors)
        return D @ (D.mT @ vectors)
