"""Which device a choice means."""

import torch


def device_of(choice: str) -> str:
    """The device a choice of auto, cpu or cuda means here.

    Raises:
        ValueError: cuda was asked for and there is none.
    """
    if choice == "cuda" and not torch.cuda.is_available():
        raise ValueError("device cuda was asked for, but torch sees no CUDA device here; give --device cpu or auto")
    return ("cuda" if torch.cuda.is_available() else "cpu") if choice == "auto" else choice
