"""How far the forecast is right for masked pairs: x shows some patches of a noisy image, and y the others.

Claim: As for pairs of whole images: the difference of JEPA's and MAE's linear probes that the timed forecast gives ranks that of trained
networks with a correlation of at least 0.8 and is at most 4 points off on average, for deep linear encoders and for ReLU MLPs, at two
lengths of training.
Command: study run masks [--images parquet --root FOLDER]
Expected: JEPA is ahead where a strong distractor is hard to predict, as without masks; where half or less is hidden forecasts are as near
as those of whole images, and less so where JEPA's gains are above 1, as y shows more than x. (Found on CIFAR-10: within half a point
for linear encoders at every ratio, but MLPs trained as MAE are ahead where the forecast has JEPA ahead; 12 cells are too few for the ranks.)
Time: 21 minutes on 2 CPU cores (35 of processor time).

Hidden pixels are 0, which is the mean, and MAE is scored on hidden patches alone. Probes read whole noisy images, of the same images that
were masked in training.
"""

from dataclasses import dataclass
from typing import ClassVar

from study.experiments.base import Figures, Results
from study.experiments.forecast import FIELD, Cell, Forecast

CELLS = tuple(
    Cell("global", FIELD, amplitude, gamma, hidden=hidden)
    for hidden in (0.5, 0.25, 0.75)
    for amplitude, gamma in ((14.0, 0.4), (2.5, 0.4), (14.0, 0.95), (5.0, 0.4))
)


@dataclass
class Masks(Forecast):
    """The forecast against networks that are trained on masked pairs.

    Args:
        networks: of linear and mlp.
        cells: how many distractors and masks, of a fixed list.
    """

    free = Forecast.free
    listed: ClassVar[tuple[Cell, ...]] = CELLS
    name = "masks"
    expected = f"{len(CELLS)} forecasts and {16 * len(CELLS)} runs of 3 networks, 21 min on 2 cores"
    minutes = 21
    example = "--cells 4 --networks linear"
    rates: tuple[float, ...] = (1e-5, 3e-5, 1e-4, 3e-4)  # gains above 1 stand lower ones than those of whole images
    cells: int = len(CELLS)

    def figures(self, results: Results) -> Figures:
        from study import figures

        panels = {
            column: (self.measured(results, network, n), self.predicted(results, "timed", n), self.predicted(results, "end", n))
            for column, network, n in self.columns()
        }
        return {
            f"JEPA - MAE of the linear probe on noisy {self.images} images, of which x shows some patches and y the others, in points: trained "
            f"networks (mean of {self.seeds} seeds, bars: 95 % Student interval) over the forecast, one dot per cell. Filled: timed forecast; "
            "open: end state; line: equal.": figures.calibration(panels)
        }
