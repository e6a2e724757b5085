"""Noise of known lambda and rho: white noise, and a distractor in K orthonormal directions.

Shapes: S data sets, B pairs, samples of `shape` as d numbers, images in the order (channel, row, column), K distractor directions.
"""

import abc
import copy
import itertools
import math
from typing import Literal, assert_never

import torch
from jaxtyping import Float
from torch import Tensor

from datamodules import memory, random
from datamodules.moments import Moments
from datamodules.streams import DIRECTIONS, DISTRACTOR, NOISE

Kind = Literal["global", "patch", "smooth"]
PATCH = 4  # side of a patch in pixels


class Noise(abc.ABC):
    """What makes views of clean samples. Its random numbers follow from a seed, the number of an update and that of the row."""

    seeds: list[int]  # one per data set

    def attach(self, shape: list[int], seeds: list[int]) -> None:
        """Called once, before all else, with the shape of a sample and the seeds of the data sets.

        Raises:
            ValueError: samples of this shape cannot be given this noise.
        """
        self.seeds = list(seeds)

    def to(self, device: torch.device) -> None:  # noqa: B027 - nothing to move where nothing is held
        """Moves what it holds to the device on which batches are made."""

    def of(self, index: int) -> "Noise":
        """The noise of one data set."""
        one = copy.copy(self)
        one.seeds = self.seeds[index : index + 1]
        return one

    @abc.abstractmethod
    def views(
        self, x: Float[Tensor, "S B d"], y: Float[Tensor, "S B d"], update: int, first: int = 0
    ) -> tuple[Float[Tensor, "S B d"], Float[Tensor, "S B d"]]:
        """Noisy views of the clean samples x and y, those of an update's pairs from number `first` on."""

    @abc.abstractmethod
    def moments(self, clean: Moments) -> list[Moments]:
        """Second moments of the views of clean pairs that have these, one per data set."""

    def products(self, vectors: Float[Tensor, "d f"]) -> tuple[Float[Tensor, "d f"], Float[Tensor, "d f"]]:
        """Of one data set and independent of the samples: covariance C between the noise of two views, times v in float64; and what the
        covariance within a view has beyond C, times v.

        Raises:
            ValueError: this noise is only known by matrices.
        """
        raise ValueError(f"{type(self).__name__} has no products, which take the place of moments of many inputs; give it some")

    def solved(self, vectors: Float[Tensor, "d f"]) -> Float[Tensor, "d f"]:
        """The inverse of the second of these products.

        Raises:
            ValueError: it has none.
        """
        raise ValueError(
            f"{type(self).__name__} has no inverse products, which take the place of moments of many inputs; give it some"
        )

    def coordinates(self, update: int, rows: int, first: int = 0) -> dict[str, Float[Tensor, "S rows _"]]:
        """By name, the numbers that the views x of an update's pairs `first` to `first + rows` were made of and nothing else tells."""
        return {}

    def directions(self) -> dict[str, tuple[Float[Tensor, "S d _"], float]]:
        """By the name of coordinates that enter a view linearly: along which orthonormal directions, and their standard deviation."""
        return {}


class White(Noise):
    """x + n and y + n' with independent n, n' of standard deviation sigma in each number, in units of the samples'.

    Without noise (sigma = 0) the second moments of the views are those of the samples. They can be singular; what needs their inverse
    says so.

    Raises:
        ValueError: sigma is negative or not finite.
    """

    def __init__(self, sigma: float) -> None:
        if not 0 <= sigma < float("inf"):
            raise ValueError(f"sigma must be finite and not negative, found {sigma}")
        self.sigma = sigma

    def views(
        self, x: Float[Tensor, "S B d"], y: Float[Tensor, "S B d"], update: int, first: int = 0
    ) -> tuple[Float[Tensor, "S B d"], Float[Tensor, "S B d"]]:
        B, d = x.shape[1:]
        n = random.normal([random.key(s, NOISE, update) for s in self.seeds], B, 2 * d, first, x.device)
        return n[..., :d].mul_(self.sigma).add_(x), n[..., d:].mul_(self.sigma).add_(y)

    def moments(self, clean: Moments) -> list[Moments]:
        white = self.sigma**2 * torch.eye(len(clean.Sxx)).to(clean.Sxx)
        Sxx = clean.Sxx + white
        return [Moments(Sxx, clean.Syx, Sxx if clean.Syy is clean.Sxx else clean.Syy + white)] * len(self.seeds)

    def products(self, vectors: Float[Tensor, "d f"]) -> tuple[Float[Tensor, "d f"], Float[Tensor, "d f"]]:
        return torch.zeros_like(vectors), self.sigma**2 * vectors

    def solved(self, vectors: Float[Tensor, "d f"]) -> Float[Tensor, "d f"]:
        if not self.sigma > 0:
            raise ValueError(
                "sigma must be positive for the directions of highest rho, which independent noise makes finite; found 0"
            )
        return vectors / self.sigma**2


class Distractor(White):
    """x + D a + n and y + D a' + n': K orthonormal directions, the columns of D, beside white noise n, n'.

    Var a = A^2, corr(a, a') = gamma: by themselves the directions have lambda_D = gamma A^2 and rho_D = gamma. Together with
    variance e of the samples along them lambda is e + gamma A^2 and rho = lambda / (e + A^2 + sigma^2).

    Args:
        kind: what the directions are: "global", random in all numbers; "patch", K / P random patterns, the same in each of the P
            patches of 4 x 4 pixels, with coefficients of its own; "smooth", the K images of lowest frequency (DCT-II) in one
            channel, the same for all seeds.
        directions: K.
        amplitude: A >= 0, in units of the samples' standard deviation.
        gamma: correlation of the distractor between the views, in [0, 1].
        sigma: standard deviation of the independent noise, >= 0.

    Raises:
        ValueError: an impossible value; samples that have not so many directions of this kind.
    """

    def __init__(
        self, kind: Kind = "global", directions: int = 128, amplitude: float = 14.0, gamma: float = 0.4, sigma: float = 0.05
    ) -> None:
        super().__init__(sigma)
        if not 0 <= amplitude < float("inf"):
            raise ValueError(f"amplitude must be finite and not negative, found {amplitude}")
        if not 0 <= gamma <= 1:
            raise ValueError(f"gamma must lie in [0, 1], found {gamma}")
        self.kind, self.K, self.amplitude, self.gamma = kind, directions, amplitude, gamma

    def attach(self, shape: list[int], seeds: list[int]) -> None:
        super().attach(shape, seeds)
        check(self.kind, shape, self.K)
        d = math.prod(shape)
        memory.check(  # where they are made, which can be another machine than the one that asks
            f"{self.K:,} distractor directions of {d:,} inputs for {len(seeds):,} seeds",
            4 * len(seeds) * d * self.K * 4,  # float32; the decomposition's factors and work lie beside it
            "give a smaller --size or fewer --directions",
        )
        self.D_SdK = directions(self.kind, seeds, shape, self.K)

    def to(self, device: torch.device) -> None:
        self.D_SdK = self.D_SdK.to(device)

    def of(self, index: int) -> "Distractor":
        one = copy.copy(self)
        one.seeds, one.D_SdK = self.seeds[index : index + 1], self.D_SdK[index : index + 1]
        return one

    def coefficients(
        self, update: int, rows: int, first: int = 0
    ) -> tuple[Float[Tensor, "S {rows} K"], Float[Tensor, "S {rows} K"]]:
        """a / A and a' / A of an update's pairs number `first` to `first + rows`."""
        K = self.K
        keys = [random.key(s, DISTRACTOR, update) for s in self.seeds]
        z = random.normal(keys, rows, 3 * K, first, self.D_SdK.device)
        common, own = z[..., :K] * self.gamma**0.5, (1 - self.gamma) ** 0.5
        return common + own * z[..., K : 2 * K], common + own * z[..., 2 * K :]

    def views(
        self, x: Float[Tensor, "S B d"], y: Float[Tensor, "S B d"], update: int, first: int = 0
    ) -> tuple[Float[Tensor, "S B d"], Float[Tensor, "S B d"]]:
        white = super().views(x, y, update, first)
        coefficients = self.coefficients(update, x.shape[1], first)
        x, y = (
            torch.baddbmm(view, a, self.D_SdK.mT, alpha=self.amplitude) for view, a in zip(white, coefficients, strict=True)
        )
        return x, y

    def moments(self, clean: Moments) -> list[Moments]:
        made = []
        for D in self.D_SdK.double():
            strong = D @ D.mT * self.amplitude**2
            Syx = clean.Syx + self.gamma * strong
            strong.diagonal().add_(self.sigma**2)
            Sxx = clean.Sxx + strong
            made.append(Moments(Sxx, Syx, Sxx if clean.Syy is clean.Sxx else clean.Syy + strong))
        return made

    def products(self, vectors: Float[Tensor, "d f"]) -> tuple[Float[Tensor, "d f"], Float[Tensor, "d f"]]:
        distractor = self.amplitude**2 * self._along(vectors)
        return self.gamma * distractor, (1 - self.gamma) * distractor + self.sigma**2 * vectors

    def solved(self, vectors: Float[Tensor, "d f"]) -> Float[Tensor, "d f"]:
        """By orthonormal D, (s I + a D D^T)^{-1} = (I - a / (a + s) D D^T) / s."""
        own = (1 - self.gamma) * self.amplitude**2
        return super().solved(vectors - own / (own + self.sigma**2) * self._along(vectors))

    def _along(self, vectors: Float[Tensor, "d f"]) -> Float[Tensor, "d f"]:
        D = self.D_SdK[0].to(vectors)
        return D @ (D.mT @ vectors)

    def coordinates(self, update: int, rows: int, first: int = 0) -> dict[str, Float[Tensor, "S rows _"]]:
        return {"distractor": self.amplitude * self.coefficients(update, rows, first)[0]}

    def directions(self) -> dict[str, tuple[Float[Tensor, "S d _"], float]]:
        return {"distractor": (self.D_SdK, self.amplitude)}


def check(kind: Kind, shape: list[int], K: int) -> None:
    """Raises ValueError: samples of this shape have not so many directions of this kind."""
    d = math.prod(shape)
    if not 1 <= K <= d:
        raise ValueError(f"directions must be from 1 to {d} (the inputs), found {K}")
    if kind == "global":
        return
    if len(shape) != 3:
        raise ValueError(
            f"a {kind} distractor needs images of channels, rows and columns, found samples of shape {shape}; give global"
        )
    if kind == "smooth":
        return
    _, height, width = shape
    if height % PATCH or width % PATCH:
        side = height if height == width else f"{height} x {width}"
        raise ValueError(f"size must be a multiple of {PATCH}, the side of a patch of the distractor, found {side}")
    if K % (patches := height * width // PATCH**2):
        raise ValueError(f"directions must be a multiple of the {patches} patches of the distractor, up to {d}, found {K}")


def directions(kind: Kind, seeds: list[int], shape: list[int], K: int) -> Float[Tensor, "S d K"]:
    """Orthonormal directions as columns, one set per seed; of a patch distractor column j P + p is pattern j in patch p."""
    keys = [random.key(s, DIRECTIONS) for s in seeds]
    match kind:
        case "global":
            return torch.linalg.qr(random.normal(keys, math.prod(shape), K))[0]
        case "patch":
            channels, down, across = shape[0], shape[1] // PATCH, shape[2] // PATCH
            patches = down * across
            patterns = torch.linalg.qr(random.normal(keys, channels * PATCH**2, K // patches))[0]
            placed = torch.einsum("smj,pq->spmjq", patterns, torch.eye(patches))
            grid = placed.unflatten(2, (channels, PATCH, PATCH)).unflatten(1, (down, across))
            return grid.permute(0, 3, 1, 4, 2, 5, 6, 7).flatten(1, 5).flatten(2)
        case "smooth":
            return _smooth(shape, K).expand(len(seeds), -1, -1)
        case _:
            assert_never(kind)


def _smooth(shape: list[int], K: int) -> Float[Tensor, "d K"]:
    """Products of cos(pi u (2 i + 1) / (2 size)) down the rows and across (the orthonormal DCT-II), by rising frequency, which of a
    square is u^2 + v^2; each in one channel after the other."""
    channels, height, width = shape
    down, across = _waves(height), _waves(width)

    def frequency(uv: tuple[int, int]) -> tuple[int, tuple[int, int]]:
        return (uv[0] * width) ** 2 + (uv[1] * height) ** 2, uv

    frequencies = sorted(itertools.product(range(height), range(width)), key=frequency)
    u, v = torch.tensor(frequencies[: -(-K // channels)]).T
    images = (down[:, None, u] * across[:, v]).flatten(0, 1)
    channel = torch.eye(channels, dtype=torch.float64)
    return torch.einsum("pf,cg->cpfg", images, channel).flatten(0, 1).flatten(1)[:, :K].float()


def _waves(size: int) -> Float[Tensor, "size size"]:
    i = torch.arange(size, dtype=torch.float64)
    waves = (math.pi / (2 * size) * (2 * i[:, None] + 1) * i).cos()
    return waves / waves.norm(dim=0)
