"""Who learns what of given pairs, and who wins by how much: the forecast as tables, as sentences and as JSON."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from datamodules import Moments, SourcePairs
from study.forecast import timed
from study.forecast.end_state import EndState, Whitened, times
from study.forecast.estimate import Estimate, estimated
from study.forecast.moments import Blocks
from study.forecast.probe import COUNTS, NUMBERS, Probed, ProbeForecast, random_projection
from study.forecast.timed import Training

Verdict = Literal["jepa", "mae", "neither", "cannot tell"]
BASELINES = ("raw", "pca", "random")


@dataclass(frozen=True)
class Row:
    """Probes at one number of labels, all on the same test samples."""

    labels: int
    probes: dict[str, Probed]  # jepa, mae, raw, pca, random

    def gap(self) -> tuple[float, float, float]:
        """JEPA - MAE, and 95 % of it."""
        return self.probes["jepa"].ahead_of(self.probes["mae"])

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
    ends: dict[str, EndState]  # jepa, mae
    times: dict[str, NDArray[np.float64]]  # of the same features under either objective, in learning rate x updates
    rows: list[Row]  # by rising number of labels; none without labels
    shares: dict[str, float]  # of the distractor, of either objective, where its directions are known
    curves: dict[str, timed.Curve] = field(default_factory=dict)  # where a training was given

    @property
    def verdict(self) -> Verdict:
        """On all labels."""
        return self.rows[-1].verdict() if self.rows else "cannot tell"

    @property
    def sentences(self) -> list[str]:
        """The answer in plain words, and what it does not cover."""
        e, k = self.estimate, len(self.estimate.rho)
        made = [
            f"The {k} most predictable features have rho from {float(e.rho[0]):.3f} (95 %: {float(e.rho_low[0]):.3f} to "
            f"{float(e.rho_high[0]):.3f}) down to {float(e.rho[-1]):.3f}; {float(e.optimism.mean()):.3f} was taken off on average, as "
            "they were chosen on the samples that they are measured on."
        ]
        made += [self._said(row) for row in self.rows[-1:] + self.rows[:1] * (len(self.rows) > 1)]
        if self.shares:
            made.append(
                f"Of the features' variance the distractor would have {self.shares['jepa']:.0%} for JEPA and {self.shares['mae']:.0%} for MAE."
            )
        if self.curves:
            held = ", ".join(f"{name.upper()} {curve.last.reached:.0%}" for name, curve in self.curves.items())
            made.append(
                f"This is after {self.curves['jepa'].last.update:,} updates, when of its end state's features {held} are there."
            )
        else:
            made.append(
                "This is the end of long training; where values of rho hardly differ, no ordinary training comes near it."
            )
        made.append("It is computed for deep linear networks, and says nothing certain of others.")
        return made

    def _said(self, row: Row) -> str:
        gap, low, high = row.gap()
        at = {name: f"{100 * row.probes[name].accuracy:.1f}" for name in row.probes}
        lead = {
            "jepa": "JEPA is ahead",
            "mae": "MAE is ahead",
            "cannot tell": "JEPA and MAE cannot be told apart",
            "neither": "Neither is worth training: raw inputs or principal components do as well",
        }[row.verdict()]
        return (
            f"With {row.labels:,} labels a linear probe would read JEPA {at['jepa']} %, MAE {at['mae']} %, raw inputs {at['raw']} %, as many "
            f"principal components {at['pca']} %, random projections {at['random']} %. {lead} (JEPA - MAE {100 * gap:+.1f} points, 95 %: "
            f"{100 * low:+.1f} to {100 * high:+.1f})."
        )

    def as_json(self) -> dict[str, Any]:
        """What `study spectrum --json` prints; times that are infinite are null."""
        e = self.estimate
        return {
            **{name: getattr(e, name).tolist() for name in ("lam", "rho", "rho_low", "rho_high")},
            "times": {name: [t if math.isfinite(t) else None for t in of.tolist()] for name, of in self.times.items()},
            "probe": [
                {"labels": row.labels, **{name: row.probes[name].accuracy for name in ("jepa", "mae", "raw")}}
                for row in self.rows
            ],
            "verdict": self.verdict,
            "summary": " ".join(self.sentences),
        }


def spectrum(
    data: SourcePairs,
    k: int = 64,
    depth: int = 3,
    eps: float = 0.6**3,
    labels: Sequence[int] = NUMBERS,
    training: Training | None = None,
    counts: dict[str, int] = COUNTS,
) -> Forecast:
    """The forecast for pairs of a source, a pairing and a noise, of data set 0.

    Args:
        data: the pairs; they are set up where they are not yet.
        k: number of features.
        depth: layers L of the linear encoder.
        eps: scale of its weights' product at the start.
        labels: numbers of labels beside all.
        training: forecast what this reaches, in seconds to minutes, and not the end state; its depth and eps are taken then.
        counts: samples of each split that probes are fitted, chosen and judged on.

    Raises:
        ValueError: k is beyond the rank, or both views are the same, so that every rho is 1.
    """
    data.setup()
    depth, eps = (depth, eps) if training is None else (training.depth, training.eps)
    blocks = Blocks.streamed(data)
    moments = Whitened(_told_apart(blocks.moments()))
    ends = {"jepa": moments.jepa(k, depth), "mae": moments.mae(k, depth)}
    known = data.directions().get("distractor")
    distractor = None if known is None else (known[0][0], known[1])
    probe = ProbeForecast(data, 0, counts, labels) if data.classes is not None and data.classes > 1 else None
    encoders, curves = {name: end.encoder for name, end in ends.items()}, dict[str, timed.Curve]()
    if training is not None:
        for name in ("jepa", "mae"):
            curves[name] = timed.forecast(
                name, moments.moments, ends[name], training, probe, distractor, [training.updates]
            )  # fmt: skip
            encoders[name] = curves[name].last.encoder
    rows = []
    if probe is not None:
        others = {"pca": moments.principal(k), "random": random_projection(k, data.inputs).double()}
        found = probe.of(encoders | others) + probe.raw()
        rows = [Row(n, {p.name: p for p in found if p.labels == n}) for n in probe.numbers]
    shares = {} if distractor is None else {
        name: EndState(ends[name].features, W).share(moments.moments.Sxx, *distractor) for name, W in encoders.items()
    }  # fmt: skip
    features = ends["jepa"].features
    learned = {"jepa": times(features, "jepa", depth, eps), "mae": times(features, "mae", depth, eps)}
    return Forecast(estimated(blocks, ends["jepa"]), ends, learned, rows, shares, curves)


def _told_apart(moments: Moments) -> Moments:
    """Raises ValueError: nothing tells x from y."""
    if bool((moments.Sxx - moments.Syx).abs().max() <= 1e-9 * moments.Sxx.abs().max()):
        raise ValueError(
            "both views of a pair are the same, so that every rho is 1 and nothing is to be forecast; give noise, or another pairing"
        )
    return moments
