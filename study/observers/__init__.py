"""Lightning callbacks that measure and change nothing."""

from study.observers.alignment import Alignment
from study.observers.distractor import Distractor
from study.observers.health import Health
from study.observers.loss import Loss
from study.observers.observer import Observer
from study.observers.probe import Probe
from study.observers.table import Table

__all__ = ["Alignment", "Distractor", "Health", "Loss", "Observer", "Probe", "Table"]
