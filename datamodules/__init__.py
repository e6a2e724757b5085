"""Pairs (x, y), their moments and their noise. Knows nothing of models or study."""

from datamodules.gaussian import GaussianPairs
from datamodules.moments import Features, Moments
from datamodules.pairs import Pairs
from datamodules.source_pairs import SourcePairs
from datamodules.temporal import TemporalPairs
from datamodules.views import Pair, View

__all__ = ["Features", "GaussianPairs", "Moments", "Pair", "Pairs", "SourcePairs", "TemporalPairs", "View"]
