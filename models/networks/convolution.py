"""A small residual convolutional network."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


class Convolution(nn.Module):
    """A stem, residual blocks with group normalisation before every convolution (He et al. 2016, Wu and He 2018), and a linear layer
    on all places: f(x) = W flatten(h) + b.

    Args:
        size: side of the square images, a multiple of `patch`.
        channels: of the images.
        widths: channels of each block. Where they grow, the block halves the image's side.
        patch: side of the stem's squares, which do not overlap; 1 for the 3 x 3 stem that is usual on CIFAR.
        features: dimension k.
        groups: of every normalisation; divides all widths.

    Raises:
        ValueError: sizes that do not fit.
    """

    def __init__(
        self,
        size: int,
        channels: int = 3,
        widths: list[int] = [128, 128, 128],  # noqa: B006 - LightningCLI shows the default; it is never changed
        patch: int = 4,
        features: int = 256,
        groups: int = 8,
    ) -> None:
        super().__init__()
        if min([size, channels, patch, features, groups, *widths], default=0) < 1 or not widths:
            raise ValueError("size, channels, widths, patch, features and groups must be at least 1, with a width per block")
        if size % patch or any(width % groups for width in widths):
            raise ValueError(f"patch {patch} must divide the side {size}, and groups {groups} all widths {widths}")
        side = size // patch
        self.stem = nn.Conv2d(channels, widths[0], patch, patch) if patch > 1 else nn.Conv2d(channels, widths[0], 3, padding=1)
        blocks: list[Residual] = []
        for before, width in zip([widths[0], *widths], widths, strict=False):
            blocks.append(Residual(before, width, 1 if width <= before else 2, groups))
            side = -(-side // blocks[-1].stride)
        self.blocks = nn.ModuleList(blocks)
        self.last = nn.Linear(widths[-1] * side**2, features)

    def forward(self, image: Float[Tensor, "B c h w"]) -> dict[str, Tensor]:
        h, taps = self.stem(image), dict[str, Tensor]()
        taps["stem"] = h
        for i, block in enumerate(self.blocks, 1):
            h = taps[f"block{i}"] = block(h)
        return taps | {"features": self.last(functional.relu(h).flatten(1))}


class Residual(nn.Module):
    """h + C(relu(G(C(relu(G(h)))))), with a 1 x 1 convolution of h where the shape changes."""

    def __init__(self, before: int, width: int, stride: int, groups: int) -> None:
        super().__init__()
        self.stride = stride
        self.norm1, self.norm2 = nn.GroupNorm(groups, before), nn.GroupNorm(groups, width)
        self.first = nn.Conv2d(before, width, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.skip = nn.Identity() if (before, stride) == (width, 1) else nn.Conv2d(before, width, 1, stride, bias=False)

    def forward(self, h: Float[Tensor, "B c h w"]) -> Float[Tensor, "B _ _ _"]:
        inner = self.first(torch.relu(self.norm1(h)))
        return self.skip(h) + self.second(torch.relu(self.norm2(inner)))
