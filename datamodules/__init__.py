"""Pairs (x, y), their moments and their noise. Knows nothing of models or study."""

from datamodules.gaussian import GaussianPairs
from datamodules.masks import Mask
from datamodules.moments import Features, Moments
from datamodules.pairs import Pairs
from datamodules.source_pairs import SourcePairs
from datamodules.temporal import TemporalPairs
from datamodules.views import Pair, View

__all__ = ["Features", "GaussianPairs", "Mask", "Moments", "Pair", "Pairs", "SourcePairs", "TemporalPairs", "View"]
