"""A small vision transformer."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn


class ViT(nn.Module):
    """Patches embedded with learned positions, timm's pre-norm transformer blocks (Dosovitskiy et al. 2021), layer normalisation, the
    mean over patches and a linear layer.

    Args:
        size: side of the square images, a multiple of `patch`.
        channels: of the images.
        patch: side of a patch.
        width: of the tokens, a multiple of `heads`.
        depth: number of blocks.
        heads: of the attention.
        features: dimension k.

    Raises:
        ValueError: sizes that do not fit.
    """

    def __init__(
        self,
        size: int,
        channels: int = 3,
        patch: int = 4,
        width: int = 128,
        depth: int = 4,
        heads: int = 4,
        features: int = 256,
    ) -> None:
        super().__init__()
        from timm.models.vision_transformer import Block  # takes a second to import

        if min(size, channels, patch, width, depth, heads, features) < 1:
            raise ValueError("size, channels, patch, width, depth, heads and features must be at least 1")
        if size % patch or width % heads:
            raise ValueError(f"patch {patch} must divide the side {size}, and heads {heads} the width {width}")
        self.embed = nn.Conv2d(channels, width, patch, patch)
        self.positions = nn.Parameter(0.02 * torch.randn(1, (size // patch) ** 2, width))
        blocks: list[Any] = [Block(width, heads, qkv_bias=True) for _ in range(depth)]
        for block in blocks:
            block.attn.fused_attn = False  # written out: vmap has no rule for the fused one, and would loop over networks
        self.blocks = nn.ModuleList(blocks)
        self.norm, self.last = nn.LayerNorm(width), nn.Linear(width, features)

    def forward(self, image: Float[Tensor, "B c h w"]) -> dict[str, Tensor]:
        h, taps = self.embed(image).flatten(2).mT + self.positions, dict[str, Tensor]()
        for i, block in enumerate(self.blocks, 1):
            h = taps[f"block{i}"] = block(h)
        return taps | {"features": self.last(self.norm(h).mean(1))}
