"""Whether a stack fits into memory, known before it starts."""

from dataclasses import dataclass
from typing import Any

import torch

from datamodules.memory import free_bytes

HEADROOM = 0.9  # of the free memory may be used


@dataclass(frozen=True)
class Need:
    """Bytes that a stack of networks takes on a device, estimated from shapes: each network, and what they share."""

    networks: int
    each: int
    device: str
    shared: int = 0

    @property
    def whole(self) -> int:
        return self.networks * self.each + self.shared

    @property
    def most(self) -> int:
        """Networks that fit into the free memory."""
        return max(0, int(HEADROOM * free_bytes(torch.device(self.device))) - self.shared) // self.each

    def check(self) -> None:
        """Raises ValueError: the stack does not fit."""
        free, most = free_bytes(torch.device(self.device)), self.most
        if self.networks > most:
            raise ValueError(
                f"a stack of {self.networks:,} networks needs {self.whole:,} bytes, and "
                f"{free:,} are free on {self.device}; at most N = {most:,} fit: train fewer at "
                "once, or have `study run` split it with --chunk auto"
            )


def widths(encoder: dict[str, Any]) -> list[int]:
    """Of all layers of an encoder with these arguments, its input first."""
    return [encoder["inputs"], *encoder["hidden"], encoder["features"]]
