"""Experiments by name."""

from study.experiments.base import Experiment
from study.experiments.bottleneck import Bottleneck
from study.experiments.critical_times import CriticalTimes
from study.experiments.dynamics import Dynamics
from study.experiments.ema import Ema
from study.experiments.flips import Flips
from study.experiments.generative import Generative
from study.experiments.noncommuting import Noncommuting
from study.experiments.phases import Phases
from study.experiments.pixels import Pixels
from study.experiments.predictor_rate import PredictorRate
from study.experiments.robustness import Robustness
from study.experiments.takeover import Takeover
from study.experiments.weight_decay import WeightDecay

# In the order of the page; `study run linear` does the linear ones.
LINEAR: tuple[type[Experiment], ...] = (
    Dynamics, CriticalTimes, Phases, Takeover, Flips, Generative, Noncommuting, PredictorRate, WeightDecay, Ema, Bottleneck, Robustness,
)  # fmt: skip
ALL: tuple[type[Experiment], ...] = (*LINEAR, Pixels)
EXPERIMENTS = {e.name: e for e in ALL}
