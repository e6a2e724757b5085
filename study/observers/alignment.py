"""Which directions an encoder has learned: high rho, high lambda, or the distractor."""

from typing import Any

import torch
from jaxtyping import Float
from scipy.stats import rankdata
from torch import Tensor

from datamodules import Features, Pairs
from models import MLP, Learner
from study.observers.extract import best_linear, extract, matrix, mean_jacobian, views
from study.observers.observer import Observer


def gains(map_Nkd: Tensor, Sxx_Sdd: Tensor, directions_Sdf: Tensor) -> Float[Tensor, "N f"]:
    """Gain |W Sxx v| / (v^T Sxx v) of W along features v: |W v| where Sxx and Syx commute, and otherwise the size of
    the coefficient of v_i^T in W, because directions are orthogonal in the metric Sxx."""
    Sv = Sxx_Sdd @ directions_Sdf
    return (map_Nkd @ Sv).norm(dim=1) / (directions_Sdf * Sv).sum(1)


def top_rows(map_Nkd: Tensor, root_Sdd: Tensor, k: int) -> Float[Tensor, "N k d"]:
    """The k strongest principal features of W x, as orthonormal rows in the whitened input z, x = root z,
    Sxx = root root^T. In z the weight of a direction is its variance, so that directions in which x hardly varies, where
    a fitted W is arbitrary, do not count."""
    whitened_Nkd = map_Nkd @ root_Sdd
    # By the smaller problem W W^T: its squared condition blurs only directions that are 1e-8 of the strongest.
    left_Nkk = torch.linalg.eigh(whitened_Nkd @ whitened_Nkd.mT)[1][..., -k:].flip(-1)
    return torch.linalg.qr(whitened_Nkd.mT @ left_Nkk)[0].mT


def whitened(basis_Sdk: Tensor, root_Sdd: Tensor) -> Float[Tensor, "S d k"]:
    """An orthonormal basis, in the whitened input, of the features v_i^T x given as columns."""
    return torch.linalg.qr(root_Sdd.mT @ basis_Sdk)[0]


def overlap(rows_Nkd: Tensor, basis_Sdk: Tensor) -> Float[Tensor, "N"]:
    """Share in [0, 1] of one k-dimensional space that lies in another, both given orthonormal; k / d by chance."""
    return (rows_Nkd @ basis_Sdk).square().sum((1, 2)) / basis_Sdk.shape[-1]


def distractor_share(map_Nkd: Tensor, Sxx_Sdd: Tensor, D_SdK: Tensor, amplitude: float) -> Float[Tensor, "N"]:
    """Share of the variance of the features W x that comes from the distractor: A^2 |W D|^2 / tr(W Sxx W^T)."""
    return amplitude**2 * (map_Nkd @ D_SdK).square().sum((1, 2)) / ((map_Nkd @ Sxx_Sdd) * map_Nkd).sum((1, 2))


def learning_times(steps: Float[Tensor, "T"], gain: Float[Tensor, "T N f"], fraction: float = 0.5) -> Float[Tensor, "N f"]:
    """First time the gain has covered `fraction` of the way from its first to its last value, interpolated linearly;
    infinite where the gain does not grow."""
    first, last = gain[0], gain[-1]
    level = first + fraction * (last - first)
    crossed = gain >= level
    index = crossed.int().argmax(0).clamp(min=1)
    before, after = gain.gather(0, index[None] - 1)[0], gain.gather(0, index[None])[0]
    weight = ((level - before) / (after - before)).nan_to_num(1.0)
    time = steps[index - 1] + weight * (steps[index] - steps[index - 1])
    return torch.where(last > first, time, torch.inf)


def rank_correlation(a: Float[Tensor, "N f"], b: Float[Tensor, "N f"]) -> Float[Tensor, "N"]:
    """Spearman's rank correlation along the last axis; nan where one side is constant."""
    ranks = [torch.from_numpy(rankdata(v.cpu().numpy(), axis=-1)) for v in (a, b)]
    x, y = (r - r.mean(-1, keepdim=True) for r in ranks)
    return (x * y).sum(-1) / (x.square().sum(-1) * y.square().sum(-1)).sqrt()


class Alignment(Observer):
    """Gains along features, overlap with the top-k rho and top-k lambda directions, the distractor's share.

    A linear encoder is measured on its matrix ("linear/..."). A nonlinear one is measured twice: on the best linear
    approximation of its features from noisy training inputs ("linear/...", with "linear/r2" the share of feature
    variance that this explains) and on its mean input Jacobian ("jacobian/...").

    Args:
        every: updates between measurements.
        k: dimension of the compared subspaces.
        recorded: how many features have their gain recorded: half with the highest rho, then those with the
            highest lambda.
        sample: inputs for the linear approximation.
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
        moments = data.moments()
        d, k = learner.encoder.inputs, self.k
        features = [m.features() for m in moments]
        device = learner.device
        self.Sxx_Sdd = torch.stack([m.Sxx for m in moments]).to(device)
        self.root_Sdd = torch.linalg.cholesky(self.Sxx_Sdd)
        tops = {by: torch.stack([f.top(by, k) for f in features]).to(device) for by in ("rho", "lam")}
        self.bases = {by: whitened(top, self.root_Sdd) for by, top in tops.items()}
        chosen = [self.chosen(f) for f in features]
        stacked = {
            "lam": torch.stack([f.lam[c] for f, c in zip(features, chosen, strict=True)]),
            "rho": torch.stack([f.rho[c] for f, c in zip(features, chosen, strict=True)]),
        }
        N = learner.encoder.networks
        self.of = {name: values.expand(N, -1) for name, values in stacked.items()}
        self.directions_Sdf = torch.stack([f.directions[:, c] for f, c in zip(features, chosen, strict=True)]).to(device)
        if not learner.encoder.linear:
            self.x_Snd = views(data, "train", self.sample, device)
            if self.x_Snd.shape[1] <= d:
                raise ValueError(f"Alignment needs more than {d} training inputs for a linear fit, found {self.x_Snd.shape[1]}")
            gram_Sdd = (self.x_Snd.mT @ self.x_Snd / self.x_Snd.shape[1]).double()
            self.gram_root_Sdd = torch.linalg.cholesky(gram_Sdd)
        return {f"feature-{i}/{name}": v[:, i] for name, v in self.of.items() for i in range(len(chosen[0]))}

    def chosen(self, features: Features) -> list[int]:
        """Numbers of the features whose gain is recorded: half by rho, filled up by lambda to the same number for all."""
        by_rho = features.rho.argsort(descending=True)[: self.recorded - max(1, self.recorded // 2)].tolist()
        by_lam = [i for i in features.lam.argsort(descending=True).tolist() if i not in by_rho]
        return sorted([*by_rho, *by_lam][: self.recorded])

    def maps(self, learner: Learner) -> tuple[dict[str, Float[Tensor, "N k d"]], dict[str, Tensor]]:
        """The linear maps that stand for the encoder, and how well."""
        if learner.encoder.linear:
            return {"linear": matrix(learner.encoder)}, {}
        features = extract(learner.encoder, self.x_Snd)["features"]
        approximation = best_linear(features, self.x_Snd, self.gram_root_Sdd)
        explained = (approximation @ self.gram_root_Sdd).square().sum((1, 2))
        total = features.var(1, unbiased=False).sum(-1).double()
        found = {"linear": approximation}
        if isinstance(learner.encoder, MLP):  # whose first layer every sample shares
            found["jacobian"] = mean_jacobian(learner.encoder, self.x_Snd[:, : self.jacobian_sample])
        return found, {"linear/r2": explained / total}

    def measure(self, learner: Learner, data: Pairs, last: bool) -> dict[str, Tensor]:
        maps, metrics = self.maps(learner)
        for name, map_Nkd in maps.items():
            gain = gains(map_Nkd, self.Sxx_Sdd, self.directions_Sdf)
            metrics |= {f"{name}/gain/{i}": g for i, g in enumerate(gain.T)}
            rows = top_rows(map_Nkd, self.root_Sdd, self.k)
            metrics |= {f"{name}/overlap/{by}": overlap(rows, basis) for by, basis in self.bases.items()}
            for of, (D_SdK, amplitude) in data.directions().items():
                metrics[f"{name}/{of}"] = distractor_share(map_Nkd, self.Sxx_Sdd, D_SdK.to(map_Nkd), amplitude)
            if name == "linear":
                self.history.append(gain.cpu())
        if last:
            gain = torch.stack(self.history)
            times = learning_times(torch.arange(len(gain), dtype=torch.float64), gain)
            metrics |= {f"linear/order/{by}": rank_correlation(times, values) for by, values in self.of.items()}
        return metrics

    def state_dict(self) -> dict[str, Any]:
        return {"history": torch.stack(self.history)} if self.history else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.history = list(state_dict.get("history", []))
