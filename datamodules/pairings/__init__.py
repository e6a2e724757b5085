"""How pairs are made of clean samples."""

from datamodules.pairings.crops import Crops
from datamodules.pairings.lag import Lag
from datamodules.pairings.neighbours import Neighbours
from datamodules.pairings.pairing import Pairing
from datamodules.pairings.same import Same

__all__ = ["Crops", "Lag", "Neighbours", "Pairing", "Same"]
