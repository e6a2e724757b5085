"""Networks: what an encoder is made of."""

from models.networks.convolution import Convolution
from models.networks.mlp import MLP
from models.networks.vit import ViT

__all__ = ["MLP", "Convolution", "ViT"]
