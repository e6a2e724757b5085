"""What loggers show of the measurements, all of which are in the table: few curves, under names that differ where they are read first."""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

MOST = 8  # of numbered metrics, such as the gains of single features: where there are more, none is shown
CHOSEN_BY = ("loss", "probe/validation/online.features")  # what a learning rate is chosen by
PROBE = re.compile(r"probe/(?P<features>.+)/noisy/(?P<split>[^/]+)")
NUMBERED = re.compile(r"(?P<stem>.+)/\d+")


def tag(metric: str) -> str:
    """The name of a metric's curve. A probe's says the split first, then encoder and tap, `probe/test/online.features`, as the end of
    a long title is cut; others are short as they are."""
    found = PROBE.fullmatch(metric)
    return f"probe/{found['split']}/{found['features'].replace('/', '.')}" if found else metric


@dataclass(frozen=True)
class Scalars:
    """Makes curves of measurements: by tag a mean over networks.

    Args:
        per_network: show every network beside the mean.
        rates: learning rates of the networks of a tuning, of which each is shown instead, by what the rate is chosen by.
    """

    per_network: bool = False
    rates: tuple[float, ...] = ()

    def of(
        self, metrics: Sequence[str], values: Float[Tensor, "M N"], first: Mapping[str, Float[Tensor, "N"]]
    ) -> dict[str, float]:
        """The values of curves at one update. Beside a probe stand those of `first` with the same split, which were measured at
        update 0 alone: the baselines, whose curves are thereby lines. What no network has a number for is left out."""
        numbered = Counter(found["stem"] for found in map(NUMBERED.fullmatch, metrics) if found)
        many = {stem for stem, count in numbered.items() if count > MOST}
        rows = {
            tag(metric): row
            for metric, row in zip(metrics, values, strict=True)
            if not ((found := NUMBERED.fullmatch(metric)) and found["stem"] in many)
        }
        if self.rates:
            shown = {
                f"tuning/{name}/lr {rate:g}": value
                for name in CHOSEN_BY
                if name in rows
                for rate, value in zip(self.rates, rows[name].tolist(), strict=True)
            }
        else:
            shown = {name: float(torch.nanmean(row)) for name, row in (_beside(metrics, first) | rows).items()}
            if self.per_network and values.shape[1] > 1:
                shown |= {f"{name}/network {n}": value for name, row in rows.items() for n, value in enumerate(row.tolist())}
        return {name: value for name, value in shown.items() if math.isfinite(value)}


def _beside(metrics: Sequence[str], first: Mapping[str, Tensor]) -> dict[str, Tensor]:
    splits = {found["split"] for found in map(PROBE.fullmatch, metrics) if found}
    return {tag(metric): row for metric, row in first.items() if (f := PROBE.fullmatch(metric)) and f["split"] in splits}
