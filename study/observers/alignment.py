"""Which directions an encoder has learned: high rho, high lambda, or the distractor."""

from typing import Any

import torch
from torch import Tensor

from datamodules import Pairs
from datamodules.directions import DENSE, strongest
from datamodules.messages import say
from datamodules.moments import Moments, Strongest
from datamodules.products import Dense, Products
from models import Learner
from study.observers import coordinates
from study.observers.directions import Group, chosen
from study.observers.extract import encoded
from study.observers.maps import Maps
from study.observers.observer import Observer
from study.observers.order import learning_times, rank_correlation
from study.observers.views import Views

BY = ("rho", "lam")
SPLITS = ("train", "validation")


class Alignment(Observer):
    """Gains along features, what is held of the top-k rho and top-k lambda directions, and the distractor's share.

    "coordinates/...", of any encoder for any number of inputs d: the gain along each recorded direction v (coordinate v^T x), and the
    mean squared canonical correlation of the network's features with the k coordinates of highest rho ("coordinates/rho") and lambda
    ("coordinates/lam"), from fixed training and validation views (study.observers.coordinates). k_f features that know nothing of
    either hold "coordinates/chance" = k_f / d of them. Of a linear encoder they are exact, by points that have the moments of the data.

    "linear/...", where moments are matrices (d <= datamodules.directions.DENSE): of a linear encoder on its matrix; of another on the best
    linear approximation of its features from noisy training inputs, more than d of them, with "linear/r2" the share of feature
    variance that this explains. An MLP is also measured on its mean input Jacobian ("jacobian/..."). Both exact in the data, so that a
    fitted map is less noisy than the coordinates themselves, which need no such map. Overlaps are those of the k strongest
    principal features, k / d by chance.

    Beyond DENSE, the directions are searched by products with the moments. "directions/residual/rho" and ".../lam" are the largest
    |Syx v - rho Sxx v| / |Syx v| of the k directions of each.

    Args:
        every: updates between measurements.
        k: dimension of the compared subspaces.
        recorded: how many features have their gain recorded: half with the highest rho, then those with the
            highest lambda.
        sample: inputs for the linear approximation, and of each split for the coordinates.
        jacobian_sample: inputs for the mean Jacobian.
    """

    def __init__(
        self, every: int = 1000, k: int = 2, recorded: int = 16, sample: int = 4096, jacobian_sample: int = 128
    ) -> None:
        super().__init__(every)
        self.k, self.recorded, self.sample, self.jacobian_sample = k, recorded, sample, jacobian_sample
        self.history: list[Tensor] = []  # gains [N, f] at each measurement

    def check(self, learner: Learner, data: Pairs) -> None:
        d, features = learner.encoder.inputs, learner.encoder.features
        if not 1 <= self.k <= min(d, features):
            raise ValueError(f"k must be from 1 to the number of features {features}, found {self.k}")

    def prepare(self, learner: Learner, data: Pairs) -> dict[str, Tensor]:
        d, N, device = learner.encoder.inputs, learner.encoder.networks, learner.device
        moments = data.moments() if d <= DENSE else []
        products: list[Products] = [Dense(m) for m in moments] if moments else data.products()
        features: list[Strongest] = (
            [m.features() for m in moments] if moments else [strongest(p, max(self.k, self.recorded), device) for p in products]
        )
        self.groups = {
            "gain": Group.of(features, products, [chosen(f, self.recorded) for f in features], device),
            **{by: Group.of(features, products, [f.tops(by, self.k).tolist() for f in features], device) for by in BY},
        }
        self.views = {split: Views(data, split, self.sample, device) for split in SPLITS}
        self.maps = self._maps(learner, moments)
        self.exact = learner.encoder.linear and self.maps is not None
        found = {split: self._coordinates(split) for split in SPLITS}
        self.c = {split: c["gain"] for split, c in found.items()}
        self.tops = {  # of unit variance, those of both groups side by side, so that features are regressed on once
            split: torch.cat([c[by] / self.groups[by].variance.sqrt()[:, None] for by in BY], -1) for split, c in found.items()
        }
        self.of = {name: getattr(self.groups["gain"], name).expand(N, -1) for name in ("lam", "rho")}
        constants = {f"feature-{i}/{name}": v[:, i] for name, v in self.of.items() for i in range(v.shape[1])}
        residuals = {f"directions/residual/{by}": self.groups[by].residual.amax(1).expand(N) for by in BY}
        chance = {"coordinates/chance": min(1.0, learner.encoder.features / d), "overlap/chance": self.k / d}
        return constants | residuals | {name: torch.full([N], value, device=device) for name, value in chance.items()}

    def _maps(self, learner: Learner, moments: list[Moments]) -> Maps | None:
        """What measures linear maps, where they can be known; where not, that is said."""
        d, x = learner.encoder.inputs, None
        if not moments:
            say(f"Alignment records coordinates and no linear fit: {d:,} inputs are more than {DENSE:,}")
            return None
        if not learner.encoder.linear:
            x = self.views["train"].all()
            if x.shape[1] <= d:
                say(f"Alignment records coordinates and no linear fit: {x.shape[1]:,} training inputs are no more than {d:,}")
                return None
        tops = {by: self.groups[by] for by in BY}
        return Maps(moments, self.groups["gain"], tops, x, self.jacobian_sample, learner.device)

    def _coordinates(self, split: str) -> dict[str, Tensor]:
        """Of the samples that features are taken from, [S, n, f]."""
        if self.exact:
            assert self.maps is not None
            return {name: self.maps.samples(group.directions) for name, group in self.groups.items()}
        return {name: group.coordinates(self.views[split]) for name, group in self.groups.items()}

    def measure(self, learner: Learner, data: Pairs, last: bool) -> dict[str, Tensor]:
        features = {} if self.exact else {split: encoded(learner.encoder, views) for split, views in self.views.items()}
        metrics: dict[str, Tensor] = {}
        if self.maps is not None:
            maps, metrics = self.maps.of(learner.encoder, features.get("train"))
            for name, map_Nkd in maps.items():
                metrics |= self.maps.held(name, map_Nkd, data.directions())
            if self.exact:
                features = dict.fromkeys(SPLITS, self.maps.samples(maps["linear"].mT))
        gain = coordinates.gains(features, self.c, self.groups["gain"].variance)
        metrics |= {f"coordinates/gain/{i}": g for i, g in enumerate(gain.T)}
        held = coordinates.r2(features, self.tops)[1].chunk(len(BY), 1)
        metrics |= {f"coordinates/{by}": of.mean(1) for by, of in zip(BY, held, strict=True)}
        return metrics | self._order(metrics, last)

    def _order(self, metrics: dict[str, Tensor], last: bool) -> dict[str, Tensor]:
        """Rank correlations of the times at which features were learned with their rho and lambda, when training has ended."""
        name = "linear" if self.maps is not None else "coordinates"
        gain = torch.stack([metrics[f"{name}/gain/{i}"] for i in range(self.groups["gain"].lam.shape[1])], 1)
        self.history.append(gain.cpu())
        if not last:
            return {}
        gain = torch.stack(self.history)
        times = learning_times(torch.arange(len(gain), dtype=torch.float64), gain)
        return {f"{name}/order/{by}": rank_correlation(times, values) for by, values in self.of.items()}

    def state_dict(self) -> dict[str, Any]:
        return {"history": torch.stack(self.history)} if self.history else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.history = list(state_dict.get("history", []))
