"""The ordinary image pipeline: a Dataset of PIL images and torchvision transforms, a DataLoader, one module per network."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from lightning import LightningModule
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import Compose, Lambda, Resize, ToTensor

from datamodules.sources import Builtin
from study.bench.lightning_peer import fit

AHEAD, SETTLE = 2, 0.5  # batches that each worker prepares ahead; seconds within which it has


class NoisyImages(Dataset):
    """Pairs as SourcePairs makes them, one image at a time: resize, scale, and for each view a distractor and noise."""

    def __init__(
        self, images: NDArray[np.uint8], size: int, directions: int, amplitude: float, gamma: float, sigma: float
    ) -> None:
        self.images = images  # [n, h, w, 3]
        self.amplitude, self.gamma, self.sigma = amplitude, gamma, sigma
        self.transform = Compose([Resize(size), ToTensor(), Lambda(torch.flatten)])
        inputs = 3 * size * size
        self.D_dK = torch.linalg.qr(torch.randn(inputs, directions, generator=torch.Generator().manual_seed(0)))[0]
        sample = torch.stack([self.transform(Image.fromarray(image)) for image in images[:1000]])
        self.mean_d = sample.mean(0)
        self.std = float((sample - self.mean_d).square().mean().sqrt())

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image = (self.transform(Image.fromarray(self.images[index])) - self.mean_d) / self.std
        common = self.gamma**0.5 * torch.randn(self.D_dK.shape[1])
        return self.view(image, common), self.view(image, common)

    def view(self, image: Tensor, common: Tensor) -> Tensor:
        a = common + (1 - self.gamma) ** 0.5 * torch.randn_like(common)
        return image + self.amplitude * (self.D_dK @ a) + self.sigma * torch.randn_like(image)


class MLP(LightningModule):
    """One network of models.Learner with a StopGradient target, from nn.Linear, by automatic optimisation."""

    def __init__(self, sizes: list[int], lr: float, momentum: float) -> None:
        super().__init__()
        inputs, hidden, features = sizes
        self.encoder = nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, features))
        self.head = nn.Linear(features, features, bias=False)
        self.lr, self.momentum = lr, momentum

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        x, y = batch
        with torch.no_grad():
            target = self.encoder(y)
        return (self.head(self.encoder(x)) - target).square().sum(-1).mean() / 2

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), self.lr, self.momentum)


class Pipeline:
    """A run of Lightning for one network; the others of a stack take as long, one after the other.

    Workers are started once and kept. What they have ready beforehand is thrown away before the clock starts, and they
    finish what they prepare ahead before anything else is timed.
    """

    def __init__(self, data: dict, sizes: list[int], lr: float, momentum: float, batch: int, workers: int, device: str) -> None:
        images = Builtin(32).load()["train"].values[: data.pop("count")].permute(0, 2, 3, 1).contiguous().numpy()
        # Spawned, because a fork of a process that runs JAX can hang.
        more: dict[str, Any] = {"multiprocessing_context": "spawn", "prefetch_factor": AHEAD} if workers else {}
        loader: DataLoader = DataLoader(
            NoisyImages(images, **data), batch, shuffle=True, drop_last=True, num_workers=workers, **more
        )
        self.batches, self.ahead = endless(loader), AHEAD * workers
        self.module, self.device = MLP(sizes, lr, momentum), device

    def __call__(self, steps: int) -> float:
        for _ in range(self.ahead):
            next(self.batches)
        seconds = fit(self.module, Next(self.batches, steps), self.device)
        if self.ahead:
            time.sleep(SETTLE)
        return seconds


def endless(loader: DataLoader) -> Iterator:
    """Epoch after epoch."""
    while True:
        yield from loader


@dataclass(frozen=True)
class Next:
    """The next `count` batches of an iterator, each made when it is asked for. Lightning would end a DataLoader's workers."""

    batches: Iterator
    count: int

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator:
        return islice(self.batches, self.count)
