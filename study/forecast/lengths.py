"""By how much JEPA's probe will be ahead of MAE's: at the end, and after trainings of several lengths."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from datamodules import SourcePairs
from models import Encoder
from study.arguments import made
from study.forecast import timed
from study.forecast.end_state import EndState, Whitened, share
from study.forecast.lift import lifted
from study.forecast.moments import Blocks
from study.forecast.probe import COUNTS, Probed, ProbeForecast
from study.forecast.run import ForecastRun, Row
from study.forecast.timed import Training
from study.observers.leading import leading
from study.theory.flow import Objective

ALL = "all"  # labels
END, TIMED = "end", "timed"


def metric(state: str, objective: str, of: str) -> str:
    """Name in the table: of the end state or the timed forecast, "share", "rate", "reached" or a number of labels."""
    return f"forecast/{state}/{objective}/{of}"


class Lengths(ForecastRun):
    """The forecast options k, depth, eps, momentum and rates are those of Training, and `lengths` the numbers of updates; each length has
    the rate that suits it best. `labels` are numbers of labels beside all, `lifts` frozen encoders by name, as configurations.

    The table has, at step 0 for the end state and at each length: probe accuracies, the distractor's share, and of the timed forecast the
    rate and the share of the end state's span that is reached; probes of raw inputs and principal components, and of the end states
    behind each frozen encoder, at step 0.
    """

    options = frozenset({"k", "depth", "eps", "momentum", "rates", "lengths", "labels", "lifts"})

    def rows(self, data: SourcePairs, options: dict[str, Any]) -> Iterator[Row]:
        k, depth, D, A = options["k"], options["depth"], *data.noise.directions()["distractor"]
        blocks = Blocks.streamed(data)
        whole = blocks.whole()
        moments = Whitened(blocks.masked(whole))
        ends: dict[Objective, EndState] = {"jepa": moments.jepa(k, depth), "mae": moments.mae(k, depth)}
        probe = ProbeForecast(data, labels=options["labels"])
        of_distractor = partial(share, Sxx=whole.Sxx, D=D[0], amplitude=A)
        encoders = {str(name): end.encoder for name, end in ends.items()} | {"pca": leading(whole.Sxx, k)[1].mT}
        found = probe.of(encoders) + probe.raw()
        yield from probed(END, 0, probe.all, found)
        for name, end in ends.items():
            yield Row(metric(END, name, "share"), 0, 0.0, of_distractor(end.encoder))
        for name, config in options["lifts"].items():
            behind = lifted(data, made(Encoder, config), name, k, depth, COUNTS, options["labels"])
            yield from probed(f"lifted-{name}", 0, probe.all, behind.probes)
            for objective, held in behind.shares.items():
                yield Row(metric(f"lifted-{name}", objective, "share"), 0, 0.0, held)
        same = {name: options[name] for name in ("depth", "eps", "momentum")}
        for updates in options["lengths"]:
            training = Training(**same, rates=tuple(options["rates"]), updates=updates, batch=data.batch, seed=data.seeds[0])
            for name in ends:
                curve = timed.forecast(name, moments.moments, ends[name], training, probe, of_distractor, [updates])
                last, time = curve.last, curve.rate * updates / (1 - training.momentum)
                yield from probed(TIMED, updates, probe.all, last.probes, time)
                assert last.share is not None
                for of, value in (("share", last.share), ("rate", curve.rate), ("reached", last.reached)):
                    yield Row(metric(TIMED, name, of), updates, time, value)


def probed(state: str, step: int, every: int, probes: Sequence[Probed], time: float = 0.0) -> Iterator[Row]:
    """Accuracies; that on all labels, of which there are `every`, by that name."""
    for p in probes:
        yield Row(metric(state, p.name, ALL if p.labels == every else str(p.labels)), step, time, p.accuracy)
