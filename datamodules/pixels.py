"""Images with noise whose covariance lambda and regression coefficient rho are known by construction."""

from collections.abc import Iterator
from pathlib import Path

import torch
from jaxtyping import Float, Int, Shaped, UInt8
from torch import Tensor

from datamodules import memory, noise, random
from datamodules.crops import cropped
from datamodules.decoding import MOST_PIXELS, Reading
from datamodules.images import Source, Split, files, load
from datamodules.messages import printable
from datamodules.moments import Moments
from datamodules.noise import CROPS_X, CROPS_Y, FLIPS, ROWS, Kind, Noise
from datamodules.order import balanced
from datamodules.pairs import EVALUATION, Batch, Pairs
from datamodules.products import Products, Streamed
from datamodules.sizes import averaged

FLOATS_AT_ONCE, ROWS_AT_ONCE = 2**24, 4096
MOMENTS = -4  # number of the update, as those of EVALUATION, whose crops the moments are taken of
ENOUGH = 7  # images of a class in training data, so that a fifth of at least 10, rounded down, holds one of them


class NoisyPixels(Pairs):
    """Two noisy views of the same image: x = image + D a + n, y = image + D a' + n'.

    The K columns of D are orthonormal, Var a = A^2, corr(a, a') = gamma: by themselves they have lambda_D = gamma A^2 and
    rho_D = gamma. Together with image variance e along them lambda is e + gamma A^2 and rho = lambda / (e + A^2 + sigma^2).
    n, n' are independent pixel noise of standard deviation sigma.
    Images are reduced to size x size by averaging, centred by the mean training image and divided by one standard
    deviation, so that A and sigma are in units of the images' pixel standard deviation.

    Args:
        images: image source, see datamodules.images.load.
        root: folder of the source.
        download: let torchvision download.
        bad_files: share of the pictures of a folder or of tables that may be left out, as they cannot be decoded, in [0, 1).
        most_pixels: a picture of those with more is not decoded.
        size: side of the reduced image; of pictures whose side it does not divide the middle is resized (datamodules.sizes).
        count: how many images of each split to use at most, the classes in their proportions (datamodules.order); a fifth of
            the training images is the validation split, unless the source has one.
        directions: K, number of distractor directions.
        distractor: what they are: "global", random in all pixels; "patch", K / P random patterns, the same in each of the P
            patches of 4 x 4 pixels, with coefficients of its own; "smooth", the K images of lowest frequency (DCT-II) in one
            colour, the same for all seeds.
        amplitude: A >= 0.
        gamma: correlation of the distractor between the views, in [0, 1].
        sigma: standard deviation of the independent pixel noise, > 0.
        flip: flip both views together, left to right, at random.
        crop: smallest area, as a share of the image's, that each view by itself is cropped to in training, and flipped at random
            (datamodules.crops), in (0, 1]; 1 leaves both as they are. Views for evaluation are whole.
        seeds: one seed for all networks, or one per network: fixes D, the batches and the noise.
        batch: pairs per update.
        updates: number of updates.
        chunk: updates per Lightning step.

    Raises:
        ValueError: an impossible value, a source that cannot be read, or a split that would lack a class.
    """

    classes: int  # known after setup

    def __init__(
        self,
        images: Source = "builtin",
        root: Path | None = None,
        download: bool = False,
        bad_files: float = 0.0,
        most_pixels: int = MOST_PIXELS,
        size: int = 16,
        count: int = 20_000,
        directions: int = 128,
        distractor: Kind = "global",
        amplitude: float = 14.0,
        gamma: float = 0.4,
        sigma: float = 0.05,
        flip: bool = False,
        crop: float = 1.0,
        seeds: list[int] = [0],  # noqa: B006 - LightningCLI shows the default; it is never changed
        batch: int = 128,
        updates: int = 2000,
        chunk: int = 50,
    ) -> None:
        super().__init__(updates, chunk, batch)
        self.inputs = 3 * size * size
        checks = {
            f"bad_files must lie in [0, 1), found {bad_files}": 0 <= bad_files < 1,
            f"most_pixels must be at least 1, found {most_pixels}": most_pixels >= 1,
            f"size must be at least 1, found {size}": size >= 1,
            f"count must be at least 10, found {count}": count >= 10,
            f"amplitude must be finite and not negative, found {amplitude}": 0 <= amplitude < float("inf"),
            f"gamma must lie in [0, 1], found {gamma}": 0 <= gamma <= 1,
            f"sigma must be finite and positive, found {sigma}": 0 < sigma < float("inf"),
            f"batch must be at least 1, found {batch}": batch >= 1,
            f"crop must lie in (0, 1], found {crop}": 0 < crop <= 1,
            "crop below 1 flips each view by itself; leave flip out": crop == 1 or not flip,
            "seeds must hold at least one seed": len(seeds) >= 1,
        }
        for message, fine in checks.items():
            if not fine:
                raise ValueError(message)
        noise.check(distractor, size, directions)
        self.source, self.root, self.download = images, root, download
        self.reading = Reading(size, bad_files, most_pixels)
        self.size, self.count, self.directions, self.distractor = size, count, directions, distractor
        self.amplitude, self.gamma, self.sigma, self.flip, self.crop = amplitude, gamma, sigma, flip, crop
        self.seeds, self.sets = list(seeds), len(seeds)
        self._pixels: dict[str, Tensor] = {}
        self._labels: dict[str, Tensor] = {}

    def setup(self, stage: str | None = None) -> None:
        if self._pixels:
            return
        memory.check(  # where they are made, which can be another machine than the one that asks
            f"{self.directions:,} distractor directions of {self.inputs:,} pixels for {self.sets:,} seeds",
            4 * self.sets * self.inputs * self.directions * 4,  # float32; the decomposition's factors and work lie beside it
            "give a smaller --size or fewer --directions",
        )
        D_SdK = noise.directions(self.distractor, self.seeds, self.size, self.directions)
        self.noise = Noise(D_SdK, self.seeds, self.amplitude, self.gamma, self.sigma)
        loaded = load(self.source, self.root, self.download, self.reading)
        side = loaded["train"].images.shape[-2:]
        if side[0] != side[1] or side[0] % self.size:
            raise ValueError(f"images are {side[0]} x {side[1]} pixels; size must divide both alike, found {self.size}")
        pixels, labels = {}, {}
        for name, (split, rows) in self._used(loaded).items():
            pixels[name], labels[name] = self._reduced(split.images, rows), split.labels[rows]
            if missing := sorted(set(range(len(split.classes))) - set(labels[name].tolist())):
                raise ValueError(self._too_few(name, len(rows), split, missing[0]))
        parts = pixels["train"].split(ROWS_AT_ONCE)
        mean = torch.stack([part.sum(0, dtype=torch.float64) for part in parts]).sum(0) / len(pixels["train"])
        mean = (mean + self._flipped(mean)) / 2 if self.flip else mean
        squares = sum(float((part.double() - mean).square().sum()) for part in parts)
        if not squares > 0:
            raise ValueError(f"{self._where}: every training image is the same; expected images that differ")
        self._mean_d, self._std = mean.float(), (squares / pixels["train"].numel()) ** 0.5
        self._pixels, self._labels, self.classes = pixels, labels, len(loaded["train"].classes)

    def files(self) -> list[Path]:
        return files(self.source, self.root)

    @property
    def _where(self) -> str:
        return printable(self.source if self.root is None else self.root)

    def _used(self, loaded: dict[str, Split]) -> dict[str, tuple[Split, Int[Tensor, "n"]]]:
        """Where the images of each split come from: a split of the source and its rows, in the order in which they are used."""
        used = {name: (split, balanced(split.labels)[: self.count]) for name, split in loaded.items()}
        if "validation" not in loaded:
            split, rows = used["train"]
            if (held := len(rows) // 5) == 0:
                raise ValueError(f"{self._where}: {len(rows)} training images; expected at least 10")
            # The order once more, of those that count leaves: the fifth at its end then holds a fifth of each class.
            rows = rows[balanced(split.labels[rows])]
            used["train"], used["validation"] = (split, rows[:-held]), (split, rows[-held:])
        return used

    def _reduced(self, images: UInt8[Tensor, "n 3 h w"], rows: Int[Tensor, "k"]) -> UInt8[Tensor, "k d"]:
        """The images of these rows averaged down to size x size, few at a time, since they are large as floats."""
        few = max(1, FLOATS_AT_ONCE // images[0].numel())
        return torch.cat([averaged(images[some], self.size).flatten(1) for some in rows.split(few)])

    def _too_few(self, name: str, used: int, split: Split, label: int) -> str:
        """That a class has no image in a split, and what to do."""
        have, whole = int((split.labels == label).sum()), len(split.labels)
        line = (
            f"{self._where}: the {name} split of {used:,} images would hold none of class {printable(split.classes[label], 80)}, "
            f"which has {have:,} of {whole:,} images"
        )
        if have and (needed := -(-ENOUGH * whole // have)) <= whole:
            return f"{line}; give --count {needed:,} or more"
        return f"{line}; {ENOUGH} training images of a class are enough, and one in a test split"

    def _flipped(self, pixels: Shaped[Tensor, "*rows d"]) -> Shaped[Tensor, "*rows d"]:
        return pixels.unflatten(-1, (3, self.size, self.size)).flip(-1).flatten(-3)

    def _to(self, device: torch.device) -> None:
        """Everything training reads lives on the device; moved there once."""
        if self._mean_d.device != device:
            self.noise, self._mean_d = self.noise.to(device), self._mean_d.to(device)
            self._pixels = {name: v.to(device) for name, v in self._pixels.items()}
            self._labels = {name: v.to(device) for name, v in self._labels.items()}

    def pairs(self, update: int, device: torch.device, rank: int = 0, ranks: int = 1) -> Batch:
        self._to(device)
        count = self.share(ranks)
        first, train = rank * count, self._pixels["train"]
        rows = [random.key(s, ROWS, update) for s in self.seeds]
        image_SBd = self._scaled(train[random.integers(rows, count, len(train), first, device)])
        if self.flip:
            flips = [random.key(s, FLIPS, update) for s in self.seeds]
            chosen = random.uniform(flips, count, 1, first, device) < 0.5
            image_SBd = torch.where(chosen, self._flipped(image_SBd), image_SBd)
        image_SBd, other = self._cropped(image_SBd, self.seeds, update, first)
        x, y = self.noise.views(image_SBd, update, first, other)
        return {"x": x, "y": y}

    def _cropped(
        self, image: Float[Tensor, "S B d"], seeds: list[int], update: int, first: int
    ) -> tuple[Float[Tensor, "S B d"], Float[Tensor, "S B d"]]:
        """What each view shows of the images."""
        if self.crop == 1:
            return image, image
        x, y = (
            cropped(image, self.size, [random.key(s, stream, update) for s in seeds], self.crop, first)
            for stream in (CROPS_X, CROPS_Y)
        )
        return x, y

    def _scaled(self, pixels: Tensor) -> Tensor:
        return pixels.float().sub_(self._mean_d).div_(self._std)

    def clean(self, split: str, count: int | None = None) -> Float[Tensor, "n d"]:
        """The first `count` images of a split without noise, centred and scaled."""
        return self._scaled(self._pixels[split][:count])

    def labels(self, split: str, count: int | None = None) -> Int[Tensor, "n"]:
        return self._labels[split][:count]

    def evaluation(
        self, split: str, index: int, first: int, last: int, device: torch.device
    ) -> tuple[Float[Tensor, "B d"], Float[Tensor, "B d"]]:
        self._to(device)
        image = self._scaled(self._pixels[split][first:last])
        x, y = self.noise.of(index).views(image[None], EVALUATION[split], first)
        return x[0], y[0]

    def coordinates(
        self, split: str, index: int, first: int, last: int, device: torch.device
    ) -> dict[str, Float[Tensor, "B f"]]:
        """What the views x of `evaluation` were made of, beside image and white noise: "distractor", the coefficients a."""
        self._to(device)
        rows = len(self._pixels[split][first:last])
        a, _ = self.noise.of(index).coefficients(EVALUATION[split], rows, first)
        return {"distractor": self.amplitude * a[0]}

    def moments(self) -> list[Moments]:
        """Moments of the training pairs, one per seed: streamed over the images, exact in the noise. Crops are sampled, one pair of
        them of each image, and their moments made symmetric in the views, which have one distribution."""
        images = Moments.stream(self._clean_pairs())
        S, cross = (images.Sxx + images.Syy) / 2, (images.Syx + images.Syx.mT) / 2
        if self.flip:
            columns = self._flipped(torch.arange(self.inputs, device=S.device)[None])[0]
            S, cross = ((m + m[columns][:, columns]) / 2 for m in (S, cross))
        DD, white = self.noise.covariances()
        Sxx = S + DD + white
        return [Moments(full, cross + self.gamma * D, full) for full, D in zip(Sxx, DD, strict=True)]

    def products(self) -> list[Products]:
        """Products with these moments, streamed."""
        return [Streamed(self.inputs, self._clean_both_ways, self.noise.of(i)) for i in range(self.sets)]

    def _clean_both_ways(self) -> Iterator[tuple[Float[Tensor, "n d"], Float[Tensor, "n d"]]]:
        """The pairs of images without noise, each as it is and, where it may be, flipped."""
        for x, y in self._clean_pairs():
            yield x, y
            if self.flip:
                yield self._flipped(x), self._flipped(y)

    def _clean_pairs(self) -> Iterator[tuple[Float[Tensor, "n d"], Float[Tensor, "n d"]]]:
        """The training images without noise, as the two views show them."""
        first = 0
        for part in self._pixels["train"].split(max(1, min(ROWS_AT_ONCE, FLOATS_AT_ONCE // self.inputs))):
            x, y = self._cropped(self._scaled(part)[None], self.seeds[:1], MOMENTS, first)
            yield x[0], y[0]
            first += len(part)
