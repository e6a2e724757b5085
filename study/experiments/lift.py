"""How far the forecast is right for convolutions and transformers: from pixels, and from the features of these networks as they start.

Claim: The end state of linear layers behind the network at its initialisation is closer to the trained difference of JEPA's and MAE's
linear probes than the end state from pixels.
Command: study run lift [--images parquet --root FOLDER] [--networks '[convolution]']
Expected: JEPA is ahead in the same cells; by how much depends on what the body learns, of which the forecast knows nothing. (Found on
CIFAR-10: nearer by 7 points for the convolution, where MAE is ahead in most cells, and by 10 for the transformer, which learns little.)
Time: 60 minutes of one processor, of which the convolution takes 32 and the transformer 25.

The cells are the first of `forecast`. JEPA is the stop-gradient, MAE the reconstruction of the other view; both have the perceptron, the
optimiser and the rates of `networks`. The theory is exact for the last layers behind a frozen body (section 7); here the body is trained.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from study.experiments.base import Claim, Figures, Results
from study.experiments.forecast import Forecast, error
from study.experiments.images import TUNING_SEED
from study.experiments.linear import TARGETS
from study.experiments.networks import HIDDEN, Network, encoder
from study.experiments.verdict import above
from study.statistics import resampled
from study.theory.flow import Objective

FEATURES = 64  # as many as the forecast has


@dataclass
class Lift(Forecast):
    """The forecast against trained convolutions and transformers.

    Args:
        networks: of convolution and vit.
        cells: how many of the distractors and pairings.
    """

    free = Forecast.free
    possible: ClassVar[tuple[str, ...]] = ("convolution", "vit")
    name = "lift"
    expected = "136 runs of 3 networks, 8 of them forecasts, about 50 min on 2 cores"
    minutes = 50
    example = "--networks convolution --cells 4"
    updates: int = 160
    rates: tuple[float, ...] = (5e-4, 1e-3, 2e-3)
    short: int = 40
    networks: tuple[Network, ...] = ("convolution", "vit")
    cells: int = 8

    @property
    def forecast_rates(self) -> tuple[float, ...]:
        """Those of deep linear networks and SGD, which the timed forecast is of."""
        return Forecast.rates

    @property
    def lifts(self) -> dict[str, Any]:
        return {network: encoder(network, self.made.shape, [TUNING_SEED]) for network in self.networks}

    def model(self, objective: Objective, network: Network, rates: list[float], inits: list[int]) -> dict[str, Any]:
        config = encoder(network, self.made.shape, inits)
        config["init_args"]["network"]["init_args"]["features"] = FEATURES
        return {
            "encoder": config,
            "predictor": {"class_path": "models.Perceptron", "init_args": {"hidden": [HIDDEN]}},
            "objective": {"class_path": TARGETS[objective]},
            "optimizer": "adamw",
            "lr": rates,
        }

    def claims(self, results: Results) -> list[Claim]:
        out = []
        for network in self.networks:
            for updates in self.lengths:
                measured = self.measured(results, network, updates).mean(1)
                pixels, behind = (self.predicted(results, state, updates) for state in ("end", f"lifted-{network}"))
                value, low, high = resampled(lambda p, b, m: error(p, m) - error(b, m), pixels, behind, measured)
                statement = (
                    f"{self.images} images, {self.cells} cells, {network}, {updates} updates: the end state behind the network at its "
                    "initialisation is nearer to the measured difference of JEPA's and MAE's linear probes than the end state from pixels "
                    "(mean distance, points; all labels, mean over seeds; 95 % bootstrap interval over cells)"
                )
                out.append(
                    self.claim(
                        f"{self.images}/nearer-{network}-{updates}", statement, "theory section 7", "> 0 points", above(0), [low, high],
                        measured=value, n=self.cells,
                    )
                )  # fmt: skip
        return out

    def figures(self, results: Results) -> Figures:
        from study import figures

        panels = {
            f"{network}, {updates} updates": (
                self.measured(results, network, updates),
                self.predicted(results, f"lifted-{network}", updates),
                self.predicted(results, "end", updates),
            )
            for network in self.networks
            for updates in self.lengths
        }
        return {
            f"JEPA - MAE of the linear probe on noisy {self.images} images, in points: trained networks (mean of {self.seeds} seeds, bars: "
            "95 % Student interval) over end states, one dot per cell. Filled: behind the network at its initialisation; open: from pixels; "
            "line: equal.": figures.calibration(panels, ("end state behind the network", "end state from pixels"))
        }
