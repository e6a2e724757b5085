"""Where clean samples come from."""

from datamodules.sources.arrays import Arrays
from datamodules.sources.builtin import Builtin
from datamodules.sources.folder import Folder
from datamodules.sources.parquet import Parquet
from datamodules.sources.source import Source
from datamodules.sources.torchvision import Torchvision
from datamodules.splits import Split

__all__ = ["Arrays", "Builtin", "Folder", "Parquet", "Source", "Split", "Torchvision"]
