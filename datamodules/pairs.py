"""What every data module shares: training is a fixed number of updates, handed to Lightning in chunks."""

import abc
from collections.abc import Iterator
from pathlib import Path

import torch
from jaxtyping import Float, Int
from lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader

from datamodules.moments import Features, Moments
from datamodules.products import Dense, Products
from datamodules.views import Pair, View

Batch = Pair | dict[str, Tensor]
EVALUATION = {"train": -1, "validation": -2, "test": -3}  # update numbers that training never reaches


class Pairs(LightningDataModule, abc.ABC):
    """Pairs (x, y) made on the device as a function of (seed, update number).

    One Lightning step is a chunk of `chunk` updates, so that Lightning's cost per step is paid once per chunk. The
    loader only counts chunks; `on_after_batch_transfer` turns the trainer's step into the batches of that chunk, of which
    each process of a distributed run makes the rows that are its share.

    Args:
        updates: number of optimiser updates in the whole run, >= 1.
        chunk: updates per Lightning step, >= 1; results do not depend on it.
        batch: pairs per update, over all processes, or None to train on the exact moments.
    """

    inputs: int  # d
    sets: int  # S
    classes: int | None = None  # of the samples' labels, known after setup; None without labels

    def __init__(self, updates: int, chunk: int, batch: int | None) -> None:
        super().__init__()
        for name, value in (("updates", updates), ("chunk", chunk)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, found {value}")
        self.updates, self.chunk, self.batch = updates, chunk, batch

    def files(self) -> list[Path]:
        """The files whose content the pairs are made of; they are part of a run's identity.

        Raises:
            ValueError: one line, where they are missing.
        """
        return []

    @abc.abstractmethod
    def pairs(self, update: int, device: torch.device, rank: int = 0, ranks: int = 1) -> Batch:
        """The training data of one update: views x, y [S, B, d], of which process `rank` of `ranks` gets an equal share of the
        rows, or "Sxx", "Syx", "Syy" [S, d, d] where the loss is taken over exact moments. S is 1 (shared by all networks)
        or the number of networks."""

    def share(self, ranks: int) -> int:
        """Pairs per update of each of so many processes.

        Raises:
            ValueError: the batch cannot be divided among them.
        """
        if self.batch is None:
            raise ValueError(
                f"exact moments hold no batch to divide among {ranks} processes; use one, or give the data a batch size"
            )
        if self.batch % ranks:
            raise ValueError(f"batch must be a multiple of the {ranks} processes that share it, found {self.batch}")
        return self.batch // ranks

    @abc.abstractmethod
    def evaluation(
        self, split: str, index: int, first: int, last: int, device: torch.device
    ) -> tuple[Float[Tensor, "B d"], Float[Tensor, "B d"]]:
        """Fixed pairs (x, y) number `first` to `last` of a split of data set `index` < S, that training never sees."""

    @abc.abstractmethod
    def moments(self) -> list[Moments]:
        """Moments of the training pairs, S of them.

        Raises:
            ValueError: the data have none, or they do not fit into memory.
        """

    def products(self) -> list[Products]:
        """Products with these moments; data of many inputs can have them where the matrices are too large."""
        return [Dense(m) for m in self.moments()]

    def labels(self, split: str, count: int | None = None) -> Int[Tensor, "n"] | None:
        """Classes of the first `count` samples x of a split, None without labels."""
        return None

    def coordinates(
        self, split: str, index: int, first: int, last: int, device: torch.device
    ) -> dict[str, Float[Tensor, "B _"]]:
        """By name, the known numbers that the views x of `evaluation` were made of; {} without."""
        return {}

    def pictures(self, views: Float[Tensor, "n d"]) -> Float[Tensor, "n C h w"] | None:
        """Views in the shape of pictures of 1 or 3 channels; None of what is no picture."""
        return None

    def directions(self) -> dict[str, tuple[Float[Tensor, "S d _"], float]]:
        """By the name of coordinates that enter a view linearly: along which orthonormal directions, and their standard deviation."""
        return {}

    def train_dataloader(self) -> DataLoader:
        return DataLoader(range(-(-self.updates // self.chunk)), batch_size=None)  # type: ignore[arg-type]

    def on_after_batch_transfer(self, batch: int, dataloader_idx: int) -> Iterator[Batch]:
        assert self.trainer is not None
        assert self.trainer.lightning_module is not None
        first = self.trainer.global_step * self.chunk
        device, rank, ranks = self.trainer.lightning_module.device, self.trainer.global_rank, self.trainer.world_size
        last = min(first + self.chunk, self.updates)
        return (self.pairs(update, device, rank, ranks) for update in range(first, last))


class LinearPairs(Pairs):
    """Pairs with known moments and features: minibatches of samples, or full gradients on the exact moments.

    Args:
        updates: number of updates.
        chunk: updates per Lightning step.
        batch: pairs per update, or None to train on the moments.
    """

    def __init__(self, updates: int, chunk: int, batch: int | None) -> None:
        super().__init__(updates, chunk, batch)
        if batch is not None and batch < 1:
            raise ValueError(f"batch must be at least 1 or none (exact moments), found {batch}")

    @abc.abstractmethod
    def features(self) -> list[Features]:
        """The features of the distribution, one set per data set."""

    @abc.abstractmethod
    def sample(
        self, update: int, count: int, device: torch.device | str = "cpu", first: int = 0
    ) -> tuple[Float[Tensor, "S count d"], Float[Tensor, "S count d"]]:
        """Pairs number `first` to `first + count` of update number `update`."""

    def setup(self, stage: str | None = None) -> None:
        moments = self.moments()
        self._exact = {name: torch.stack([getattr(m, name) for m in moments]) for name in ("Sxx", "Syx", "Syy")}

    def pairs(self, update: int, device: torch.device, rank: int = 0, ranks: int = 1) -> Batch:
        if self.batch is None:
            self._exact = {name: value.to(device) for name, value in self._exact.items()}
            return self._exact
        count = self.share(ranks)
        x, y = self.sample(update, count, device, rank * count)
        return Pair(View(x), View(y))

    def evaluation(
        self, split: str, index: int, first: int, last: int, device: torch.device
    ) -> tuple[Float[Tensor, "B d"], Float[Tensor, "B d"]]:
        x, y = self.sample(EVALUATION[split], last - first, device, first)
        return x[index], y[index]
