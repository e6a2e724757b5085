"""Where clean samples come from."""

from datamodules.sources.arrays import Arrays
from datamodules.sources.builtin import Builtin
from datamodules.sources.folder import Folder
from datamodules.sources.paired import Paired
from datamodules.sources.parquet import Parquet
from datamodules.sources.patches import Patches
from datamodules.sources.source import Source
from datamodules.sources.torchvision import Torchvision
from datamodules.splits import Split

__all__ = ["Arrays", "Builtin", "Folder", "Paired", "Parquet", "Patches", "Source", "Split", "Torchvision"]
