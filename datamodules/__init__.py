"""Pairs (x, y), their moments and their noise. Knows nothing of models or study."""

from datamodules.gaussian import GaussianPairs
from datamodules.moments import Features, Moments
from datamodules.pairs import Pairs
from datamodules.pixels import NoisyPixels
from datamodules.temporal import TemporalPairs

__all__ = ["Features", "GaussianPairs", "Moments", "NoisyPixels", "Pairs", "TemporalPairs"]
