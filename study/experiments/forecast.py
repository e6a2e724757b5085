"""How far the forecast from moments is right for networks that are trained: who wins on noisy images, by how much.

Claim: Over distractors of all strengths and predictabilities, the difference of JEPA's and MAE's linear probes that the timed forecast
gives, from second moments alone and before anything is trained, ranks that of trained networks with a correlation of at least 0.8 and
is at most 4 points off on average: for deep linear encoders and for ReLU MLPs, at two lengths of training.
Command: study run forecast [--images parquet --root FOLDER]
Expected on CIFAR-10: correlations of 0.90 to 0.97 and errors of 0.6 to 2.0 points; the end state is far off at high gamma, where no
training of this length comes near it.
Time: 33 minutes on 2 CPU cores (64 of processor time).

A cell is a distractor and a pairing. The forecast has a seed of its own, and chooses its rate as the trainings do: at each length, for
each objective, encoder and cell, over the same grid and by the validation probe, on a seed of their own. One forecast, of the deep
linear encoder, stands for both encoders. The end state is reported beside it.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from study.choices import Kind
from study.experiments.base import Claim, Figures, Plan, Results, check_count, final, together
from study.experiments.images import TEST, TUNING_SEED, ImageExperiment
from study.experiments.linear import TARGETS
from study.experiments.networks import Network, observer
from study.experiments.pixels import ENCODERS
from study.experiments.verdict import Region
from study.running.result import Result
from study.running.run import Run
from study.statistics import interval, rank_correlation, resampled, spread
from study.theory.flow import Objective

State = str  # end, timed, or of study.experiments.lift lifted-<network>
FEW = 300  # labels beside all
LABELS = {"all": TEST, str(FEW): f"{TEST}-{FEW}"}  # the metric of trained networks by labels
SHARE = "distractor/share"
NEAR = 4.0  # points: a cell farther off than this is named
STRENGTHS, GAMMAS = (2.5, 5.0, 14.0), (0.2, 0.4, 0.8, 0.95, 1.0)
PATCH = 4  # pixels of the side of what is hidden
FIELD = 128  # directions of the cells of the phase diagram


class Cell(NamedTuple):
    """A distractor and a pairing, or the share that is hidden of both views."""

    kind: Kind
    directions: int
    amplitude: float
    gamma: float
    pairing: Literal["same", "crops"] = "same"
    hidden: float = 0.0

    @property
    def name(self) -> str:
        masked = f"-hidden-{self.hidden:g}" if self.hidden else ""
        return f"{self.kind}-{self.directions}-{self.amplitude:g}-{self.gamma:g}-{self.pairing}{masked}"

    @property
    def label(self) -> str:
        crops = ", crops" if self.pairing == "crops" else ""
        masked = f", {self.hidden:.0%} hidden" if self.hidden else ""
        return f"{self.kind}, K {self.directions}, A {self.amplitude:g}, gamma {self.gamma:g}{crops}{masked}"


# What differs most comes first, so that the first few say something; then the plane of amplitude and gamma is filled.
FIRST = (
    Cell("global", FIELD, 14.0, 0.4),
    Cell("global", FIELD, 14.0, 0.95),
    Cell("patch", FIELD, 14.0, 0.4),
    Cell("global", FIELD, 2.5, 0.4),
    Cell("smooth", FIELD, 14.0, 0.4),
    Cell("global", FIELD, 14.0, 0.4, "crops"),
    Cell("global", 32, 14.0, 0.4),
    Cell("global", 512, 5.0, 0.4),
    Cell("patch", FIELD, 14.0, 0.95),
    Cell("smooth", FIELD, 14.0, 0.95),
    Cell("global", FIELD, 14.0, 0.95, "crops"),
    Cell("global", 512, 5.0, 0.95),
)
PLANE = tuple(Cell("global", FIELD, A, gamma) for A in STRENGTHS for gamma in GAMMAS)
CELLS = (*FIRST, *(cell for cell in PLANE if cell not in FIRST))


def error(predicted: NDArray, measured: NDArray) -> NDArray:
    """Mean distance over cells, the last axis."""
    return np.abs(predicted - measured).mean(-1)


@dataclass
class Forecast(ImageExperiment):
    """Forecast and trained difference of JEPA's and MAE's probes.

    Args:
        updates: the longer training.
        short: the shorter one.
        networks: of linear and mlp.
        cells: how many distractors and pairings, of a fixed list with their own directions, amplitude and gamma.
    """

    free = (*ImageExperiment.free, "networks")
    name = "forecast"
    expected = f"{len(CELLS)} forecasts and {16 * len(CELLS)} runs of 3 networks, 33 min on 2 cores"
    minutes: ClassVar[float | None] = 33
    cores = 1
    example = "--cells 4 --networks linear"
    updates: int = 500
    rates: tuple[float, ...] = (3e-5, 1e-4, 3e-4)
    seeds: int = 3
    short: int = 125
    networks: tuple[Network, ...] = ("linear", "mlp")
    cells: int = len(CELLS)

    possible: ClassVar[tuple[str, ...]] = tuple(ENCODERS)
    listed: ClassVar[tuple[Cell, ...]] = CELLS

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("cells", self.cells, least=2, most=len(self.listed))
        check_count("short", self.short, most=self.updates - 1)
        if not self.networks or not set(self.networks) <= set(self.possible) or len(set(self.networks)) < len(self.networks):
            raise ValueError(f"networks must be of {', '.join(self.possible)}, each once, found {list(self.networks)}")
        for name in ("directions", "amplitude", "gamma"):
            if getattr(self, name) != getattr(type(self), name):
                raise ValueError(f"{name} = {getattr(self, name):g} has no effect, as the cells fix it; leave it out")

    @property
    def lengths(self) -> tuple[int, int]:
        return self.short, self.updates

    @property
    def states(self) -> tuple[State, ...]:
        """What is forecast of each cell."""
        return ("timed", "end", *(f"lifted-{name}" for name in self.lifts))

    @property
    def chosen(self) -> Sequence[Cell]:
        return self.listed[: self.cells]

    def of(self, cell: Cell, seeds: list[int], updates: int) -> dict[str, Any]:
        """The pairs of a cell, as a configuration."""
        pairing = {"class_path": f"datamodules.pairings.{cell.pairing.title()}"}
        made = self.pairs(*cell[:4], pairing, seeds, updates)
        if cell.hidden:
            made["init_args"]["mask"] = {"class_path": "datamodules.Mask", "init_args": {"patch": PATCH, "ratio": cell.hidden}}
        return made

    @property
    def forecast_rates(self) -> tuple[float, ...]:
        """Learning rates that the timed forecast tries: those of the trainings."""
        return self.rates

    @property
    def lifts(self) -> dict[str, Any]:
        """Frozen networks on whose features end states are forecast too, as configurations."""
        return {}

    def model(self, objective: Objective, network: Network, rates: list[float], inits: list[int]) -> dict[str, Any]:
        """What is trained, as a configuration."""
        inputs = math.prod(self.made.shape)
        options = ENCODERS[network] | {"inputs": inputs, "features": min(ENCODERS[network]["features"], inputs), "seeds": inits}
        return {
            "encoder": {"class_path": "models.MLP", "init_args": options},
            "objective": {"class_path": TARGETS[objective]},
            "lr": rates,
            "momentum": 0.9,
        }

    def forecast(self, cell: Cell) -> Run:
        from study.forecast.lengths import Lengths

        like, inputs = ENCODERS["linear"], math.prod(self.made.shape)
        options = {
            "k": min(like["features"], inputs),
            "depth": len(like["hidden"]) + 1,
            "eps": like["eps"],
            "momentum": 0.9,
            "rates": list(self.forecast_rates),
            "lengths": list(self.lengths),
            "labels": [FEW],
            "lifts": self.lifts,
        }
        config = {"data": self.of(cell, [TUNING_SEED], self.updates), "forecast": options}
        return Lengths(self.name, f"forecast-{cell.name}", config)

    def run(
        self,
        cell: Cell,
        objective: Objective,
        network: Network,
        updates: int,
        observers: list[dict[str, Any]],
        name: str,
        rates: list[float],
        inits: list[int],
        data: list[int],
    ) -> Run:
        config = {
            "trainer": {"accelerator": self.device, "callbacks": observers + self.further(updates)},
            "model": self.model(objective, network, rates, inits),
            "data": self.of(cell, data, updates),
        }
        from study.running.training import Training

        return Training(self.name, name, config)

    def run_count(self) -> int:
        return self.cells * (1 + 2 * len(self.networks) * len(TARGETS) * len(self.lengths))

    def expected_work(self) -> float:
        updates = sum(self.lengths) * (len(self.rates) + self.seeds)
        return self.cells * len(self.networks) * math.prod(self.made.shape) * self.batch * updates

    def plan(self) -> Plan:
        from datamodules.noise import check

        for cell in self.chosen:
            check(cell.kind, self.made.shape, cell.directions)
        if not self.made.labelled:
            raise ValueError(f"{self.made}: no labels of two classes or more; the forecast is held against a probe of them")
        yield {f"forecast-{cell.name}": self.forecast(cell) for cell in self.chosen}
        yield from together(
            self.trained(cell, objective, network, updates)
            for cell in self.chosen
            for network in self.networks
            for objective in TARGETS
            for updates in self.lengths
        )

    def trained(self, cell: Cell, objective: Objective, network: Network, updates: int) -> Plan:
        """The plan of what the forecast is held against."""
        make = partial(self.run, cell, objective, network, updates)
        choosing = observer("Probe", updates, test=None)
        judging = [observer("Probe", updates, labels=[FEW], baselines=[]), observer("Distractor", updates)]
        return self.tuned(role(cell, objective, network, updates), partial(make, [choosing]), partial(make, judging))

    def measured(self, results: Results, network: Network, updates: int, metric: str = TEST) -> NDArray:
        """JEPA - MAE in points, [cells, seeds]."""
        jepa, mae = (
            [final(results[role(cell, objective, network, updates)], metric) for cell in self.chosen] for objective in TARGETS
        )
        return 100 * (np.stack(jepa) - np.stack(mae))

    def predicted(self, results: Results, state: State, updates: int, labels: str = "all") -> NDArray:
        """The same of the forecast, [cells]; of end states at any length."""
        step = updates if state == "timed" else 0
        found = [results[f"forecast-{cell.name}"] for cell in self.chosen]
        jepa, mae = (np.array([at(r, f"forecast/{state}/{o}/{labels}", step) for r in found]) for o in TARGETS)
        return 100 * (jepa - mae)

    def claims(self, results: Results) -> list[Claim]:
        out = []
        for network in self.networks:
            for updates in self.lengths:
                on = f"{self.images} images, {self.cells} cells, {network} encoder, {updates} updates: "
                measured = self.measured(results, network, updates).mean(1)
                timed, end = (self.predicted(results, state, updates) for state in ("timed", "end"))
                what = "of JEPA's and MAE's linear probes (all labels, mean over seeds; 95 % bootstrap interval over cells)"
                wanted = (
                    ("rank", f"rank correlation of the timed forecast with the measured difference {what} is at least 0.8",
                     ">= 0.8", Region(at_least=0.8), resampled(rank_correlation, timed, measured)),
                    ("error", f"mean distance of the timed forecast from the measured difference {what} is at most 4 points",
                     "<= 4 points", Region(at_most=NEAR), resampled(error, timed, measured)),
                    ("end-state", f"the end state is farther from the measured difference {what} than the timed forecast",
                     ">= 0 points", Region(at_least=0.0),
                     resampled(lambda e, t, m: error(e, m) - error(t, m), end, timed, measured)),
                )  # fmt: skip
                for name, statement, predicted, region, (value, low, high) in wanted:
                    out.append(
                        self.claim(
                            f"{self.images}/{name}-{network}-{updates}", on + statement, "theory section 7", predicted, region,
                            [low, high], measured=value, n=self.cells,
                        )
                    )  # fmt: skip
        return out

    def columns(self) -> Iterator[tuple[str, Network, int]]:
        """Of the table: what was measured."""
        for network in self.networks:
            for updates in self.lengths:
                yield f"{network}, {updates} updates", network, updates

    def reported(self, results: Results) -> list[dict[str, Any]]:
        end = self.predicted(results, "end", 0)
        timed = {updates: self.predicted(results, "timed", updates) for updates in self.lengths}
        behind = {name: self.predicted(results, f"lifted-{name}", 0) for name in self.lifts}
        gaps = {name: (self.measured(results, network, n), n) for name, network, n in self.columns()}
        rows = []
        for i, cell in enumerate(self.chosen):
            row = {"JEPA - MAE, points": cell.label, "end state": f"{end[i]:+.1f}"}
            row |= {f"end state behind {name}": f"{values[i]:+.1f}" for name, values in behind.items()}
            row |= {f"forecast, {n} updates": f"{values[i]:+.1f}" for n, values in timed.items()}
            row |= {name: spread(values[i], 1) for name, (values, _) in gaps.items()}
            off = [name for name, (values, n) in gaps.items() if abs(values[i].mean() - timed[n][i]) > NEAR]
            row[f"more than {NEAR:g} points off"] = "; ".join(off)
            found = [results[f"forecast-{cell.name}"]] + [
                results[role(cell, "jepa", network, self.updates)] for network in self.networks
            ]
            shares = [at(found[0], "forecast/timed/jepa/share", self.updates)] + [final(r, SHARE).mean() for r in found[1:]]
            row[f"distractor's share in JEPA, {self.updates} updates: forecast, {', '.join(self.networks)}"] = ", ".join(
                f"{share:.2f}" for share in shares
            )
            rows.append(row)
        return rows + [
            self.summed(results, list(rows[0]), labels, state) for labels in self.labels(results) for state in self.states
        ]

    def labels(self, results: Results) -> list[str]:
        """Numbers of labels that were probed; few where there are so many images."""
        one = results[role(self.chosen[0], "jepa", self.networks[0], self.updates)]
        return [labels for labels, metric in LABELS.items() if metric in one.metrics]

    def summed(self, results: Results, columns: Sequence[str], labels: str, state: State) -> dict[str, Any]:
        """A last row of the table, on all cells."""
        row = dict.fromkeys(columns, "")
        of = {"end": "the end state", "timed": "the timed forecast"}.get(state, f"the end state behind {state.split('-')[-1]}")
        row[columns[0]] = f"all cells, {labels} labels, {of}: rank correlation; mean error; wrong signs where the sign is known"
        for name, network, updates in self.columns():
            gaps, forecast = (
                self.measured(results, network, updates, LABELS[labels]),
                self.predicted(results, state, updates, labels),
            )
            rank, mean = (resampled(statistic, forecast, gaps.mean(1)) for statistic in (rank_correlation, error))
            bounds = np.array([interval(values)[1:] for values in gaps])
            known = (bounds > 0).all(1) | (bounds < 0).all(1)
            wrong = known & (np.sign(forecast) != np.sign(gaps.mean(1)))
            row[name] = (
                f"{rank[0]:.2f} ({rank[1]:.2f} to {rank[2]:.2f}); {mean[0]:.1f} ({mean[1]:.1f} to {mean[2]:.1f}); "
                f"{wrong.sum()} of {known.sum()}"
            )
        return row

    def figures(self, results: Results) -> Figures:
        from study import figures

        panels, diagram = {}, {}
        plane = [i for i, cell in enumerate(self.chosen) if cell in PLANE]
        for updates in self.lengths:
            timed = self.predicted(results, "timed", updates)
            gaps = {network: self.measured(results, network, updates) for network in self.networks}
            for network, values in gaps.items():
                panels[f"{network}, {updates} updates"] = values, timed, self.predicted(results, "end", updates)
            diagram[f"{updates} updates"] = (
                timed[plane],
                {str(network): values[plane].mean(1) for network, values in gaps.items()},
            )
        places = [(self.chosen[i].gamma, self.chosen[i].amplitude) for i in plane]
        return {
            f"JEPA - MAE of the linear probe on noisy {self.images} images, in points: trained networks (mean of {self.seeds} seeds, bars: "
            "95 % Student interval) over the forecast, one dot per cell. Filled: timed forecast; open: end state; line: equal.": (
                figures.calibration(panels)
            ),
            f"Who wins by how much (JEPA - MAE of the linear probe, points), global distractor in {FIELD} directions. Squares: timed "
            f"forecast; dots: trained networks, {' left, '.join(self.networks)} right, same colours.": (
                figures.forecast_and_trained(diagram, places)
            ),
        }


def role(cell: Cell, objective: Objective, network: Network, updates: int) -> str:
    """Of the trained networks."""
    return f"{objective}-{network}-{cell.name}-{updates}"


def at(result: Result, metric: str, step: int) -> float:
    """The value of a metric at a step of a forecast's table."""
    rows = result.rows(metric)
    return float(rows.value[rows.step == step][0])
