"""Encoders, targets and the LightningModule. Knows nothing of datamodules or study."""

from models.encoders import Encoder
from models.learner import Learner
from models.targets import EMA, Pixels, StopGradient

__all__ = ["EMA", "Encoder", "Learner", "Pixels", "StopGradient"]
