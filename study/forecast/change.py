"""What the noise would have to be for the answer to change: end states along the distractor's amplitude and correlation.

Only the samples of the probe are drawn again; the moments of the clean pairs serve every noise.
"""

import copy
import itertools
from dataclasses import dataclass

from datamodules import Moments, SourcePairs
from datamodules.noise import Distractor
from datamodules.progress import shown
from study.forecast.end_state import Whitened
from study.forecast.moments import Blocks
from study.forecast.probe import ProbeForecast

GAMMAS = (0.2, 0.4, 0.6, 0.8, 0.95)
TIMES = (0.125, 0.25, 0.5, 1.0, 2.0)  # the amplitude
COUNTS = {"train": 3000, "validation": 1000, "test": 3000}


@dataclass(frozen=True)
class Cell:
    """JEPA - MAE of the end states' probes on all labels under one noise, and 95 % of it."""

    amplitude: float
    gamma: float
    gap: float
    low: float
    high: float


def changed(data: SourcePairs, clean: Moments, k: int, depth: int) -> list[Cell]:
    """One cell for each amplitude and correlation, the amplitude outermost; none where the samples have no labels or the noise no
    distractor.

    Args:
        data: the pairs, after `setup`.
        clean: moments of its clean pairs.
        k: features.
        depth: layers.
    """
    noise = data.noise
    if not isinstance(noise, Distractor) or not noise.amplitude or data.classes is None or data.classes < 2:
        return []
    cells = []
    places = list(itertools.product((times * noise.amplitude for times in TIMES), GAMMAS))
    for amplitude, gamma in shown(places, len(places), "other noise"):
        other = copy.copy(data)
        other.noise = Distractor(noise.kind, noise.K, amplitude, gamma, noise.sigma)
        other.noise.attach(data.source.shape, data.seeds)
        moments = Whitened(Blocks([clean], other.noise.of(0), data.mask).moments())
        k_here = min(k, moments.rank)
        encoders = {"jepa": moments.jepa(k_here, depth).encoder, "mae": moments.mae(k_here, depth).encoder}
        jepa, mae = ProbeForecast(other, 0, COUNTS, []).of(encoders)
        cells.append(Cell(amplitude, gamma, *jepa.ahead_of(mae)))
    return cells
