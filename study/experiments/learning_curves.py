"""When features of images are learned: four forecasts of gains over time against trained networks, where moments do not commute.

Claim: On noisy images, whose Sxx and Syx have no common eigenvectors, the gradient flow of the full matrices on exact moments, followed
in the span of the strongest eigenvectors of Syx alone, ranks the times at which deep linear networks learn the generalised features
with a correlation of at least 0.9, for JEPA and for MAE, and better than the exact times of single modes do.
Command: study run learning_curves [--images parquet --root FOLDER]
Expected: single modes at the generalised (lambda, rho) rank them less well (0.6 to 0.75 in `noncommuting`); modes along the eigenvectors
of Syx, which cost as little, lie between. (Found: 32 dimensions are too few for the 80 to 120 features that are learned; 64 would do.)
Time: 2 minutes on 2 CPU cores, most of it for the flow in all dimensions.

Networks are as wide as their inputs and balanced, and trained on minibatches of images; each seed has its own distractor, weights and
batches. A feature's time is that at which its gain has covered half of the way from its start to its value at the end of the training,
by the same rule in networks and forecasts. Features count that have grown by a tenth of their fixed point or more in the network.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from study.experiments.base import Claim, Figures, Plan, Results, check_count, curves
from study.experiments.images import ImageExperiment
from study.experiments.linear import OBJECTIVES, TARGETS
from study.experiments.verdict import Region, above
from study.running.result import Result
from study.running.run import Run
from study.statistics import interval, rank_correlation, spread
from study.theory import flow
from study.theory.flow import Objective

START = 0.45  # singular value of every layer at first, below the rho of all that is to be learned
GROWN = 0.1  # of its fixed point: by so much has a gain grown that counts
MOMENTUM = 0.9
MEASUREMENTS = 80
SHOWN = 8  # curves of a figure


@dataclass
class LearningCurves(ImageExperiment):
    """Gains along generalised features over time.

    Args:
        depth: layers L of the encoder.
        width: dimensions of the subspace in which the matrices are followed, besides all of them.
        rate: learning rate, small enough for training to be near its flow.
    """

    free: ClassVar[tuple[str, ...]] = tuple(name for name in ImageExperiment.free if name != "rates")
    name = "learning_curves"
    expected = "2 runs of 3 networks and 2 forecasts, about 2 min on 2 cores"
    minutes = 2
    example = "--depth 3 --updates 4000"
    size: int = 8
    directions: int = 8
    amplitude: float = 4.0
    gamma: float = 0.6
    sigma: float = 0.3
    updates: int = 2000
    seeds: int = 3
    depth: int = 2
    width: int = 32
    rate: float = 3e-4

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("depth", self.depth, most=10)
        check_count("width", self.width)
        check_count("seeds", self.seeds, least=2)
        if not 0 < self.rate < math.inf:
            raise ValueError(f"rate must be finite and positive, found {self.rate}")
        if self.rates != type(self).rates:
            raise ValueError("rates have no effect, as nothing is tuned here; give --rate")

    @property
    def every(self) -> int:
        return max(1, self.updates // MEASUREMENTS)

    @property
    def eps(self) -> float:
        return START**self.depth

    def pairs_of_all(self) -> dict[str, Any]:
        """The pairs of all seeds, as a configuration; a chunk is what lies between measurements."""
        same = {"class_path": "datamodules.pairings.Same"}
        found = self.data("global", self.amplitude, same, list(range(self.seeds)), self.updates)
        return found | {"init_args": found["init_args"] | {"chunk": self.every}}

    def steps(self) -> list[int]:
        return [*range(0, self.updates, self.every), self.updates]

    def expected_work(self) -> float:
        return math.prod(self.made.shape) * self.updates * self.seeds

    def plan(self) -> Plan:
        from datamodules.noise import check

        inputs = math.prod(self.made.shape)
        check("global", self.made.shape, self.directions)
        check_count("width", self.width, most=inputs)
        yield {
            f"{o}-{kind}": make(o, inputs)
            for o in OBJECTIVES
            for kind, make in (("forecast", self.forecast), ("trained", self.run))
        }

    def forecast(self, objective: Objective, inputs: int) -> Run:
        from study.forecast.gains import Gains

        times = [self.rate * step / (1 - MOMENTUM) for step in self.steps()]
        widths = sorted({self.width, inputs})
        options = {"objective": objective, "depth": self.depth, "eps": self.eps, "times": times, "widths": widths}
        return Gains(self.name, f"{objective}-forecast", {"data": self.pairs_of_all(), "forecast": options})

    def run(self, objective: Objective, inputs: int) -> Run:
        from study.running.training import Training

        seeds = list(range(self.seeds))
        encoder = {"inputs": inputs, "hidden": [inputs] * (self.depth - 1), "features": inputs, "eps": self.eps, "seeds": seeds}
        alignment = {"every": self.every, "k": 1, "recorded": inputs}
        config = {
            "trainer": {
                "accelerator": self.device,
                "callbacks": [{"class_path": "study.observers.Alignment", "init_args": alignment}, *self.further(self.every)],
            },
            "model": {
                "encoder": {"class_path": "models.MLP", "init_args": encoder},
                "objective": {"class_path": TARGETS[objective]},
                "lr": self.rate,
                "momentum": MOMENTUM,
            },
            "data": self.pairs_of_all(),
        }
        return Training(self.name, f"{objective}-trained", config)

    def forecasts(self, results: Results) -> list[str]:
        """Their names, the cheapest first."""
        found = [name.split("/")[1] for name in results["jepa-forecast"].metrics if name.startswith("seconds/")]
        return sorted(
            found, key=lambda name: (name != "modes", name != "principal", int(name.split("-")[-1]) if "-" in name else 0)
        )

    def learned(self, results: Results, objective: Objective) -> NDArray:
        """Whether a feature counts, [N, f]."""
        gain = gains(results[f"{objective}-trained"], "linear/gain")
        rho = known(results[f"{objective}-trained"], "rho")
        end = np.where(rho > 0, flow.fixed_point(objective, rho.clip(1e-12), self.depth), np.inf)
        return gain[-1] - gain[0] >= GROWN * end

    def correlations(self, results: Results, objective: Objective, forecast: str) -> NDArray:
        """Rank correlation [N] of the times at which the features that count are learned with the forecast's."""
        trained, predicted = (half_way(g) for g in self.both(results, objective, forecast))
        rows = zip(trained, predicted, self.learned(results, objective), strict=True)
        return np.array([rank_correlation(t[mine], p[mine]) if mine.sum() > 1 else 0.0 for t, p, mine in rows])

    def errors(self, results: Results, objective: Objective, forecast: str) -> NDArray:
        """Mean distance [N] of the forecast's gains from the trained ones over time and features that count."""
        trained, predicted = self.both(results, objective, forecast)
        mine = self.learned(results, objective)
        return np.array([np.abs(trained - predicted)[:, n][:, of].mean() if of.any() else 0.0 for n, of in enumerate(mine)])

    def both(self, results: Results, objective: Objective, forecast: str) -> tuple[NDArray, NDArray]:
        """Gains [T, N, f], trained and forecast."""
        return gains(results[f"{objective}-trained"], "linear/gain"), gains(
            results[f"{objective}-forecast"], f"gain/{forecast}"
        )

    def claims(self, results: Results) -> list[Claim]:
        out = []
        for objective in OBJECTIVES:
            found = {name: self.correlations(results, objective, name) for name in self.forecasts(results)}
            subspace, modes = found[f"flow-{self.width}"], found["modes"]
            on = (
                f"{objective.upper()}, depth {self.depth}, {self.images} images, K = {self.directions}, A = {self.amplitude:g}, gamma = "
                f"{self.gamma:g}: rank correlation of the times (half of the way to the end of the training) at which features that grow by "
                f"{GROWN:g} of their fixed point or more are learned, "
            )
            mean = "(mean over seeds; 95 % Student interval)"
            wanted = (
                ("flow", f"with those of the flow in {self.width} dimensions, is at least 0.9 {mean}", ">= 0.9",
                 Region(at_least=0.9), subspace),
                ("flow-over-modes", f"is higher with this flow than with single modes at the features' lambda and rho {mean}", "> 0",
                 above(0), subspace - modes),
                ("principal-over-modes", f"is higher with modes along the eigenvectors of Syx than with these single modes {mean}", "> 0",
                 above(0), found["principal"] - modes),
            )  # fmt: skip
            for name, statement, predicted, region, values in wanted:
                value, low, high = interval(values)
                out.append(
                    self.claim(
                        f"{self.images}/{name}-{objective}", on + statement, "theory sections 1 to 3", predicted, region, [low, high],
                        measured=value, n=self.seeds,
                    )
                )  # fmt: skip
        return out

    def reported(self, results: Results) -> list[dict[str, Any]]:
        rows = []
        for objective in OBJECTIVES:
            for name in self.forecasts(results):
                seconds = results[f"{objective}-forecast"].rows(f"seconds/{name}").value
                rows.append(
                    {
                        "objective": objective.upper(),
                        "forecast": name,
                        "rank correlation of times": spread(self.correlations(results, objective, name), 3),
                        "mean error of gains": spread(self.errors(results, objective, name), 3),
                        "seconds per data set": f"{seconds.mean():.2g}",
                        "features that count": ", ".join(map(str, self.learned(results, objective).sum(1))),
                    }
                )
        return rows

    def figures(self, results: Results) -> Figures:
        from study import figures

        panels = {}
        for objective in OBJECTIVES:
            counted = np.flatnonzero(self.learned(results, objective)[0])
            shown = counted[np.linspace(0, len(counted) - 1, min(SHOWN, len(counted))).astype(int)]
            times = curves(results[f"{objective}-trained"], "linear/gain/0")[1][:, 0]
            for name in self.forecasts(results):
                trained, predicted = (g[:, 0, shown] for g in self.both(results, objective, name))
                panels[f"{objective.upper()}, {name}"] = times, trained, predicted
        return {
            f"Gains of {SHOWN} generalised features of noisy {self.images} images over gradient-flow time, by falling lambda from dark to "
            "light. Dots: trained network, first seed; lines: the forecast.": figures.learning_curves(panels, len(OBJECTIVES))
        }


def gains(result: Result, metric: str) -> NDArray:
    """Gains [T, N, f] of all features in the order of the table."""
    count = sum(name.startswith(f"{metric}/") for name in result.metrics)
    return np.stack([curves(result, f"{metric}/{i}")[2] for i in range(count)], -1)


def known(result: Result, of: str) -> NDArray:
    """lam or rho [N, f] of the features."""
    count = sum(name.startswith("feature-") and name.endswith(f"/{of}") for name in result.metrics)
    return np.stack([curves(result, f"feature-{i}/{of}")[2][0] for i in range(count)], -1)


def half_way(gain: NDArray) -> NDArray:
    """When, in measurements, each gain [T, N, f] has first covered half of its way from start to end; infinite where it does not grow."""
    level = (gain[0] + gain[-1]) / 2
    index = np.maximum((gain >= level).argmax(0), 1)
    before, after = (np.take_along_axis(gain, i[None], 0)[0] for i in (index - 1, index))
    rise = np.where(after > before, after - before, 1.0)
    return np.where(gain[-1] > gain[0], index - 1 + (level - before) / rise, np.inf)
