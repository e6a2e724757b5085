"""Experiments by name."""

from study.experiments.base import Experiment
from study.experiments.dynamics import Dynamics
from study.experiments.pixels import Pixels

EXPERIMENTS: dict[str, type[Experiment]] = {e.name: e for e in (Dynamics, Pixels)}
