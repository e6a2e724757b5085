"""Who learns what of given pairs, and who wins by how much: the forecast as tables, as sentences and as JSON."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from datamodules import Moments, SourcePairs
from datamodules.pairings import Same
from models import Encoder
from study.choices import NUMBERS
from study.forecast import timed
from study.forecast.change import Cell, changed
from study.forecast.end_state import ASYMMETRY, SEARCHED, EndState, Whitened, share, times
from study.forecast.estimate import Estimate, estimated
from study.forecast.lift import Lifted, lifted
from study.forecast.moments import Blocks, union
from study.forecast.patterns import patterns
from study.forecast.probe import COUNTS, Probed, ProbeForecast, random_projection
from study.forecast.timed import Training
from study.forecast.trained import Network, all_trained
from study.observers.leading import leading
from study.statistics import rank_correlation
from study.theory.flow import Objective

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Verdict = Literal["jepa", "mae", "neither", "cannot tell"]
OBJECTIVES: tuple[Objective, ...] = ("jepa", "mae")
FEW = 5  # pairs for each input that varies: below, more than a fifth of a rho can be chance
FIRST = 6  # features of the learning order that are named
ALIKE = 0.8  # correlation with the next sample, from which on samples are taken for a recording's
OPPOSITE = 0.1  # modulus of a negative rho that is spoken of, where it is above that of a feature


def points(gap: tuple[float, float, float]) -> str:
    """A difference and 95 % of it, in points."""
    value, low, high = (100 * part for part in gap)
    return f"{value:+.1f} points, 95 %: {low:+.1f} to {high:+.1f}"


@dataclass(frozen=True)
class Row:
    """Probes at one number of labels, all on the same test samples."""

    labels: int
    probes: dict[str, Probed]  # jepa, mae, raw, pca, random; of a timed forecast also jepa-end, mae-end

    def gap(self, suffix: str = "") -> tuple[float, float, float]:
        """JEPA - MAE, and 95 % of it; of the end states with the suffix -end."""
        return self.probes[f"jepa{suffix}"].ahead_of(self.probes[f"mae{suffix}"])

    def verdict(self) -> Verdict:
        """Who is ahead beyond the interval: neither, where the better of both is not ahead of raw inputs and principal components."""
        gap, low, high = self.gap()
        better = self.probes["jepa" if gap >= 0 else "mae"]
        if any(better.ahead_of(self.probes[name])[1] <= 0 for name in ("raw", "pca")):
            return "neither"
        return "jepa" if low > 0 else "mae" if high < 0 else "cannot tell"


@dataclass(frozen=True)
class Forecast:
    """What `spectrum` found. Features are JEPA's, of the highest rho, the highest first."""

    estimate: Estimate
    ends: dict[Objective, EndState]
    times: dict[Objective, NDArray[np.float64]]  # end_state.times of these features, then of those of lower rho
    rows: list[Row]  # by rising number of labels; none without labels
    shares: dict[str, float]  # of the distractor, of either objective, where its directions are known
    curves: dict[str, timed.Curve] = field(default_factory=dict)  # where a training was given
    cautions: tuple[str, ...] = ()  # what makes all of it doubtful
    limits: tuple[str, ...] = ()  # what of these data the forecast does not cover
    about: str = ""  # which pairs it is of
    shape: tuple[int, ...] = ()  # of a sample
    patterns: dict[str, Tensor] = field(default_factory=dict)  # study.forecast.patterns
    change: list[Cell] = field(default_factory=list)  # under other noise, where asked for
    lifted: Lifted | None = None  # on the features of a frozen network, where one was given
    trained: dict[Network, dict[Objective, Probed]] = field(default_factory=dict)  # networks that were trained, where asked for

    @property
    def verdict(self) -> Verdict:
        """On all labels."""
        return self.rows[-1].verdict() if self.rows else "cannot tell"

    @property
    def sentences(self) -> list[str]:
        """The answer in plain words, and what it does not cover."""
        e, k, top = self.estimate, len(self.estimate.rho), int(self.estimate.rho.argmax())
        first = [*[self.about] * bool(self.about), *self.cautions]
        made = [" ".join(first)] * bool(first)
        made.append(
            f"The {k} features of highest rho have a rho of {float(e.rho[top]):.3f} (95 %: {float(e.rho_low[top]):.3f} to "
            f"{float(e.rho_high[top]):.3f}) down to {float(e.rho.min()):.3f}, of which {float(e.optimism.mean()):.3f} was taken off on average "
            "as they were chosen on the samples that they are measured on."
        )
        made += [self._said(row) for row in self.rows[-1:] + self.rows[:1] * (len(self.rows) > 1)]
        made.append(" ".join([self._order(), *self._when()]))
        made += self._beside()
        limits = [*self.limits, "it is computed for deep linear networks, and says nothing certain of others"]
        made.append(f"What this does not cover: {'; '.join(limits)}.")
        return made

    @property
    def agreement(self) -> float | None:
        """Rank correlation of the times at which JEPA and MAE learn features that one of them learns; none of fewer than three, or
        where one of them learns none."""
        jepa, mae = self.times["jepa"], self.times["mae"]
        some = np.isfinite(jepa) | np.isfinite(mae)
        ordered = some.sum() > 2 and np.isfinite(jepa).any() and np.isfinite(mae).any()
        return float(rank_correlation(jepa[some], mae[some])) if ordered else None

    def _order(self) -> str:
        """Which features either objective learns first, by their numbers in the order of rho."""
        first = []
        for name, learned in self.times.items():
            order = [str(i + 1) for i in np.argsort(learned, kind="stable") if np.isfinite(learned[i])]
            first.append(
                f"{name.upper()} {', '.join(order[:FIRST]) or 'none, as no gain of positive rho ends above its start'}"
            )
        said = f"Of {len(self.times['jepa']):,} features, numbered by rho, those learned first are: {'; '.join(first)}"
        if self.agreement is not None:
            said += f"; over all that either learns their orders agree with a rank correlation of {self.agreement:.2f}"
        return f"{said}."

    def _when(self) -> list[str]:
        """After how long a training this is, and the end of long training beside it."""
        made = []
        if self.curves:
            held = " and ".join(
                f"{100 * curve.last.reached:.0f} % of {name.upper()}'s ({100 * curve.points[0].reached:.0f} % at the start)"
                for name, curve in self.curves.items()
            )
            made.append(f"This is after {self.curves['jepa'].last.update:,} updates, when the features hold {held} end state.")
            if self.rows:
                end = points(self.rows[-1].gap("-end"))
                made.append(f"At the end of long training, which may be out of reach, JEPA - MAE would be {end}.")
        else:
            made.append(
                "This is the end of long training; where values of rho hardly differ, no ordinary training comes near it."
            )
        if self.shares:
            made.append(
                f"Of the features' variance the distractor has {self.shares['jepa']:.0%} for JEPA and {self.shares['mae']:.0%} for MAE."
            )
        return made

    def _beside(self) -> list[str]:
        """What was forecast behind a frozen network, and what was measured."""
        made = []
        if self.lifted is not None:
            labels = self.rows[-1].labels
            at = {name: f"{100 * probed.accuracy:.1f}" for name, probed in self.lifted.at(labels).items()}
            made.append(
                f"Linear layers behind the frozen network {self.lifted.name} would end at JEPA {at['jepa']} % and MAE {at['mae']} % with "
                f"{labels:,} labels (JEPA - MAE {points(self.lifted.gap(labels))}); its features as they are read {at['frozen']} %."
            )
        for network, of in self.trained.items():
            read = " and ".join(f"{name.upper()} {100 * probed.accuracy:.1f} %" for name, probed in of.items())
            gap = of["jepa"].ahead_of(of["mae"])
            missed = "" if gap[1] <= self.rows[-1].gap()[0] <= gap[2] else ", which leaves out the forecast"
            made.append(
                f"Trained as long on these pairs, one {network} network of each reads {read} (JEPA - MAE {points(gap)}, of the test samples "
                f"alone{missed})."
            )
        return made

    def _said(self, row: Row) -> str:
        at = {name: f"{100 * row.probes[name].accuracy:.1f}" for name in row.probes}
        lead = {
            "jepa": "JEPA is ahead",
            "mae": "MAE is ahead",
            "cannot tell": "JEPA and MAE cannot be told apart",
            "neither": "Neither can be told to be worth training: raw inputs or principal components do as well within the intervals",
        }[row.verdict()]
        low, high = row.gap()[1:]
        if row.verdict() == "neither" and not low <= 0 <= high:
            lead += f"; of the two {'JEPA' if low > 0 else 'MAE'} is ahead"
        return (
            f"With {row.labels:,} labels a linear probe would read JEPA {at['jepa']} %, MAE {at['mae']} %, raw inputs {at['raw']} %, as many "
            f"principal components {at['pca']} %, random projections {at['random']} %. {lead} (JEPA - MAE {points(row.gap())})."
        )

    def as_json(self) -> dict[str, Any]:
        """What `study spectrum --json` prints; times that are infinite are null."""
        e = self.estimate
        return {
            **{name: getattr(e, name).tolist() for name in ("lam", "rho", "rho_low", "rho_high")},
            "times": {
                name: [t if math.isfinite(t) else None for t in of.tolist()[: len(e.rho)]] for name, of in self.times.items()
            },
            "probe": [
                {"labels": row.labels, **{name: row.probes[name].accuracy for name in ("jepa", "mae", "raw")}}
                for row in self.rows
            ],
            "verdict": self.verdict,
            "summary": " ".join(self.sentences),
        }

    def plot(self) -> "Figure":
        """The (lambda, rho) plane by learning time, and the probes (matplotlib)."""
        from study.forecast.figures import overview

        return overview(self)


def spectrum(
    data: SourcePairs,
    k: int | None = 64,
    depth: int = 3,
    eps: float = 0.6**3,
    labels: Sequence[int] = NUMBERS,
    training: Training | None = None,
    counts: dict[str, int] = COUNTS,
    change: bool = False,
    lift: tuple[str, Encoder] | None = None,
    train: bool = False,
) -> Forecast:
    """The forecast for pairs of a source, a pairing and a noise, of data set 0.

    Args:
        data: the pairs; they are set up where they are not yet.
        k: number of features; none gives 64, or half of the directions in which x varies where that is less.
        depth: layers L of the linear encoder.
        eps: scale of its weights' product at the start.
        labels: numbers of labels beside all.
        training: forecast what this reaches, in seconds to minutes, beside the end state; its depth and eps are taken then. Without
            rates it gets some that the moments stand (study.forecast.timed.suited).
        counts: samples of each split that probes are fitted, chosen and judged on.
        change: forecast the end states under other amplitudes and correlations of a distractor too.
        lift: name and a frozen network, on whose features end states are forecast too.
        train: train small networks as `training` says, and put what they read beside the forecast.

    Raises:
        ValueError: k is beyond the rank, or both views are the same, so that every rho is 1; lift or train without labels, or train
            without a training.
        ArithmeticError: the training diverges at every rate.
    """
    data.setup()
    _check(data, training, lift is not None, train)
    depth, eps = (depth, eps) if training is None else (training.depth, training.eps)
    blocks = Blocks.streamed(data)
    blocks = blocks if data.pairing.symmetric else blocks.settled()
    whole = blocks.whole()
    moments = Whitened(_told_apart(blocks.masked(whole)))
    k = min(64, max(1, moments.rank // 2)) if k is None else k
    ends: dict[Objective, EndState] = {"jepa": moments.jepa(k, depth), "mae": moments.mae(k, depth)}
    known = data.noise.directions().get("distractor")
    of_distractor = None if known is None else partial(share, Sxx=whole.Sxx, D=known[0][0], amplitude=known[1])
    probe = ProbeForecast(data, 0, counts, labels) if data.classes is not None and data.classes > 1 else None
    encoders = {str(name): end.encoder for name, end in ends.items()}
    curves = dict[str, timed.Curve]()
    trainings = dict[Objective, Training]()
    if training is not None:
        everything = None if probe is None else [probe.all]
        for name, end in ends.items():
            trainings[name] = training if training.rates else timed.suited(name, moments.moments, end, training)
            curves[name] = timed.forecast(name, moments.moments, end, trainings[name], probe, of_distractor, labels=everything)
        encoders = {f"{name}-end": W for name, W in encoders.items()}
        encoders |= {str(name): curve.last.encoder for name, curve in curves.items()}
    rows = []
    if probe is not None:
        others = {"pca": leading(whole.Sxx, k)[1].mT, "random": random_projection(k, data.inputs).double()}
        found = probe.of(encoders | others) + probe.raw()
        rows = [Row(n, {p.name: p for p in found if p.labels == n}) for n in probe.numbers]
    shares: dict[str, float] = {}
    if of_distractor is not None:
        shares |= {name: of_distractor(encoders[name]) for name in OBJECTIVES}
    # Of all features where that takes seconds, as the first that MAE learns can have the lowest rho.
    ordered = (moments.jepa(moments.rank, depth) if moments.rank <= SEARCHED else ends["jepa"]).features
    learned = {name: times(ordered, name, depth, eps) for name in OBJECTIVES}
    behind = None if lift is None else lifted(data, lift[1], lift[0], k, depth, counts, labels)
    shown = patterns(replace(moments.moments, Sxx=whole.Sxx), ends["jepa"])
    cautions, limits, turns = _cautions(data, moments), _limits(data, moments, behind), moments.turns
    del moments, whole, of_distractor  # hundreds of megabytes, before what follows takes as many
    estimate = estimated(blocks, ends["jepa"])
    signs = _signs(blocks, estimate, None if turns else ordered.rho, depth)
    return Forecast(
        estimate,
        ends,
        learned,
        rows,
        shares,
        curves,
        tuple(cautions),
        (*limits, *signs),
        shape=tuple(data.source.shape),
        patterns=shown,
        change=changed(data, union(blocks.clean), k, depth) if change else [],
        lifted=behind,
        trained=all_trained(data, k, trainings, probe) if train and probe else {},
    )


def _check(data: SourcePairs, training: Training | None, lift: bool, train: bool) -> None:
    """Raises ValueError: what is asked for beside the forecast cannot be had of these pairs."""
    for name, asked in (("lift", lift), ("train", train)):
        if asked and (data.classes is None or data.classes < 2):
            raise ValueError(f"{name} compares linear probes, and there are no labels of two classes; leave --{name} out")
    if train and training is None:
        raise ValueError("train needs a length of training, found updates = 0; give --updates")


def _told_apart(moments: Moments) -> Moments:
    """Raises ValueError: nothing tells x from y."""
    if bool((moments.Sxx - moments.Syx).abs().max() <= 1e-9 * moments.Sxx.abs().max()):
        raise ValueError(
            "both views of a pair are the same, so that every rho is 1 and nothing is to be forecast; give noise, or another pairing"
        )
    return moments


def _cautions(data: SourcePairs, whitened: Whitened) -> list[str]:
    """What makes all of the forecast doubtful, and what to do."""
    count, shape, made = whitened.moments.count, data.source.shape, []
    if count < FEW * whitened.rank:
        side = int((count / FEW / shape[0]) ** 0.5)
        smaller = f"smaller ones (--size {side})" if len(shape) == 3 and side else "smaller ones"
        made.append(
            f"Caution: {count:,.0f} pairs are few for {whitened.rank:,} inputs that vary. Some of what JEPA takes for predictable is then chance, and its "
            f"directions, their order and its probe are uncertain beyond the intervals; give more samples or {smaller}."
        )
    if len(shape) == 1 and isinstance(data.pairing, Same) and (alike := data.continuity()) > ALIKE:
        made.append(
            f"Caution: samples are like the next (correlation {alike:.2f}), as those of a recording are, and are taken for independent ones; give "
            "--pairing lag and a --window for windows of it."
        )
    if whitened.asymmetry > ASYMMETRY and not whitened.turns:
        made.append(
            f"Caution: the cross-covariance is not symmetric ({whitened.asymmetry:.0%} of its norm is not). Of more than {SEARCHED:,} inputs "
            "JEPA's end state takes its symmetric part alone, which misses what turns between x and y, such as oscillations; give smaller "
            "samples, or x and y that are nearer to each other."
        )
    return made


def _signs(blocks: Blocks, estimate: Estimate, rho: Float[Tensor, "r"] | None, depth: int) -> list[str]:
    """What is to be said of rho above 1 and, where `rho` of all features is given, which falls, of negative ones, as far as it is beyond
    chance."""
    made, top, least = [], int(estimate.rho.argmax()), max(OPPOSITE, float(estimate.rho.min()))
    if rho is not None and float(rho[-1]) < -least:
        opposite = blocks.opposite()
        turned = estimated(opposite, Whitened(opposite.moments()).jepa(1, 1))
        if float(turned.rho_low[0]) > least:
            what = "" if blocks.mask is None else ", most of them which patches are shown"
            made.append(
                f"some features are predicted with the opposite sign (rho down to {-float(turned.rho[0]):.2f}{what}): a network whose "
                "predictor starts at random can learn them, and this forecast, of predictors that start as the identity, leaves them out"
            )
    if float(estimate.rho_low[top]) > 1:
        why = "varies more than x" if blocks.mask is None else "shows more patches than x (as many with --ratio 0.5)"
        made.append(
            f"rho is up to {float(estimate.rho[top]):.2f}, above the 1 of a copy, as y {why}, and JEPA's gain there is its power {depth}"
        )
    return made


def _limits(data: SourcePairs, whitened: Whitened, behind: Lifted | None) -> list[str]:
    """What of these pairs is regularised, left out or only approximately so."""
    d, made = data.inputs, []
    if data.classes is None or data.classes < 2:
        what = "no labels" if data.classes is None else "labels of one class"
        made.append(f"there are {what}, so no probe is forecast, only what is learned and in which order")
    if whitened.rank < d:
        made.append(f"x varies in {whitened.rank:,} of {d:,} dimensions, and nothing is said of the others")
    if whitened.turns:
        made.append(
            f"the cross-covariance is not symmetric ({whitened.asymmetry:.0%} of its norm is not): some features turn between x and y, such as "
            "oscillations; their rho is a modulus, which networks find from random weights"
        )
    if data.mask is not None and data.classes is not None:
        made.append("probes read whole samples, while a network that is trained has seen masked ones")
    if behind is not None and behind.few:
        made.append(
            f"{behind.pairs:,} pairs are few for the {behind.features:,} features of {behind.name}, so that what is said behind it is too "
            "good, most of all for JEPA; give more samples, or a narrower network"
        )
    return made
