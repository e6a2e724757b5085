"""The forecast on the features of a frozen network: what linear layers behind it learn (theory, section 7).

Shapes: d inputs, f features of the frozen network, k features.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from datamodules import Moments, SourcePairs
from datamodules.pairings.pairing import MOMENTS
from datamodules.progress import shown
from models import Encoder
from study.forecast.end_state import Whitened
from study.forecast.moments import BLOCKS
from study.forecast.probe import Probed, ProbeForecast
from study.observers.distractor import explained
from study.observers.extract import extract

FEW = 10  # pairs for each feature: below, rho of pairs that tell nothing reaches 2 / FEW^(1/2)
COUNTS = {"train": 4000, "validation": 2000}  # samples behind a distractor's share, as of study.observers.Distractor


@dataclass(frozen=True)
class Lifted:
    """End states on the features of a frozen network."""

    name: str  # of the network
    probes: list[Probed]  # jepa, mae, and frozen: all f features as they are; at each number of labels
    shares: dict[str, float]  # of the distractor, where its coefficients are known
    features: int  # f of the frozen network
    pairs: int  # that their moments are of

    @property
    def few(self) -> bool:
        """Whether there are so few pairs that directions fit them by chance, and both end states look better than they are."""
        return self.pairs < FEW * self.features

    def at(self, labels: int) -> dict[str, Probed]:
        """Those at so many labels, by name."""
        return {probed.name: probed for probed in self.probes if probed.labels == labels}

    def gap(self, labels: int) -> tuple[float, float, float]:
        """JEPA - MAE at so many labels, and 95 % of it."""
        return self.at(labels)["jepa"].ahead_of(self.at(labels)["mae"])


def lifted(
    data: SourcePairs, encoder: Encoder, name: str, k: int, depth: int, counts: dict[str, int], labels: Sequence[int]
) -> Lifted:
    """Of data set 0, which has labels, after `setup`.

    Raises:
        ValueError: the encoder does not take such samples, or k is beyond the rank of its features.
    """
    if encoder.inputs != data.inputs:
        raise ValueError(f"{name} takes {encoder.inputs:,} numbers, and the samples have {data.inputs:,}; give another network")
    latent, cross = moments(data, encoder)
    features = Whitened(latent)
    if k > features.rank:
        raise ValueError(
            f"k = {k} is beyond the {features.rank} directions in which the features of {name} vary; give a smaller --k"
        )
    encoders = {"jepa": features.jepa(k, depth).encoder, "mae": features.regression(cross, k, depth)[1]}
    probe = ProbeForecast(data, 0, counts, labels, encoder)
    frozen = [Probed("frozen", p.labels, p.validation, p.right) for p in probe.raw()]
    shares = dict[str, float]()
    if "distractor" in data.noise.directions():
        shares = {of: share(data, probe, W) for of, W in encoders.items()}
    return Lifted(name, probe.of(encoders) + frozen, shares, len(latent.Sxx), int(latent.count))


def share(data: SourcePairs, probe: ProbeForecast, W: Float[Tensor, "k f"]) -> float:
    """Of the features' variance, what the distractor's coefficients explain on held-out samples, as study.observers.Distractor has it."""
    few = {split: min(count, len(probe.inputs[split])) for split, count in COUNTS.items()}
    coordinates = {s: data.coordinates(s, 0, 0, n, W.device)["distractor"][None] for s, n in few.items()}
    features = {s: (probe.inputs[s][:n] @ W.mT.to(probe.inputs[s]))[None] for s, n in few.items()}
    return float(explained(coordinates, features)[0])


def moments(data: SourcePairs, encoder: Encoder) -> tuple[Moments, Float[Tensor, "d f"]]:
    """Centred moments of the pairs (features of x, features of y), and the covariance of y with the features of x: what JEPA and what
    MAE predicts. Products in the features' own precision, summed in float64, on the encoder's device; the noise is drawn, once for each
    pair."""
    shift: list[Tensor] = []
    sums: list[Tensor] = []
    count = 0
    for parts in _features(data, encoder):
        shift = shift or [part.mean(0) for part in parts]  # so that products of centred numbers are summed
        fx, fy, y = (part - mean for part, mean in zip(parts, shift, strict=True))
        found = [fx.mT @ fx, fy.mT @ fx, fy.mT @ fy, y.mT @ fx, *(v.sum(0, keepdim=True) for v in (fx, fy, y))]
        sums = [new.double() + old for new, old in zip(found, sums, strict=True)] if sums else [new.double() for new in found]
        count += len(fx)
    xx, yx, yy, cross, x, y, target = (total.cpu() / count for total in sums)
    latent = Moments(xx - x.mT @ x, yx - y.mT @ x, yy - y.mT @ y, float(count))
    alike = data.pairing.symmetric and data.mask is None
    return latent.symmetric() if alike else latent, cross - target.mT @ x


def _features(data: SourcePairs, encoder: Encoder) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Features of x and of y, and y, of all training pairs, a part at a time, on the encoder's device."""
    first, noise = 0, data.noise.of(0)
    for block in shown(data.blocks(BLOCKS), BLOCKS, "features of the frozen network"):
        for clean_x, clean_y in data.pairing.drawn(data.parts(block), data.seeds[0], first):
            x, y = noise.views(clean_x[None], clean_y[None], MOMENTS, first)
            if data.mask is not None:
                x, y = data.mask.views(x, y, data.seeds[:1], MOMENTS, first)
            fx, fy = (extract(encoder, view)["features"][0].float() for view in (x, y))
            yield fx, fy, y[0].to(fx)
            first += len(clean_x)
