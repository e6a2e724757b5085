"""Learning rates that change over training, as a function of the update's number alone: nothing to restore on a resume."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

Shape = Literal["constant", "cosine"]


@dataclass(frozen=True)
class Schedule:
    """Factor of all learning rates: (u + 1) / warmup in update u < warmup; then 1, or half a cosine that falls from 1 to
    0 at the end, update number `updates`, which is not made.

    Raises:
        ValueError: another shape; a warm-up that is negative or leaves no update after it.
    """

    shape: Shape = "constant"
    warmup: int = 0
    updates: int | float = math.inf

    def __post_init__(self) -> None:
        if self.shape not in get_args(Shape):
            raise ValueError(f"schedule must be one of {', '.join(get_args(Shape))}, found {self.shape!r}")
        if not 0 <= self.warmup < self.updates:
            raise ValueError(f"warmup must be at least 0 and below the run's {self.updates} updates, found {self.warmup}")

    @property
    def constant(self) -> bool:
        """Whether all factors are 1."""
        return self.shape == "constant" and not self.warmup

    def factor(self, update: int) -> float:
        """In update number `update`, from 0 on."""
        if update < self.warmup:
            return (update + 1) / self.warmup
        if self.shape == "constant":
            return 1.0
        return (1 + math.cos(math.pi * (update - self.warmup) / (self.updates - self.warmup))) / 2

    def total(self, updates: int) -> float:
        """Sum of the factors of the first `updates` updates."""
        rising, rest = min(updates, self.warmup), max(updates - self.warmup, 0)
        risen = rising * (rising + 1) / (2 * self.warmup) if rising else 0.0
        if self.shape == "constant" or not rest:
            return risen + rest
        half = math.pi / (self.updates - self.warmup) / 2
        return risen + rest / 2 + (1 + math.sin((2 * rest - 1) * half) / math.sin(half)) / 4  # Dirichlet's kernel


CONSTANT = Schedule()
