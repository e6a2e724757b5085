"""A stack of deep linear networks trained by gradient flow: the ODE of the full matrices, integrated to a tolerance."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

import datamodules
from models import MLP, initialisation
from models.gradient_flow import GradientFlow, square
from models.per_network import per_network
from study.observers.maps import gains
from study.running.capacity import Need, widths
from study.running.failed import Stalled, forget, write_failure
from study.running.lock import check_held
from study.running.options import check_sizes
from study.running.result import Result
from study.running.run import Run, begun, finish, stored
from study.terminal import say
from study.theory.crossing import first_crossing
from study.theory.rosenbrock import Step, Stopped, integrate

DEFAULTS: dict[str, Any] = {
    "device": "cpu", "kappa": 1.0, "weight_decay": 0.0, "tau": None, "head": 1.0, "perturbation": 0.0, "tolerance": 1e-7, "levels": {}, "fractions": [],
}  # fmt: skip
NOTED = 500  # steps of an ordinary integration
REQUIRED = {"objective", "encoder", "data", "until"}


@dataclass(frozen=True)
class Trace:
    """Every accepted step, one row per step; a network that did not move in a step repeats its row."""

    t: Float[Tensor, "T N"]
    w: Float[Tensor, "T N f"]
    speed: Float[Tensor, "T N f"]


class Integration(Run):
    """Gradient flow of N networks. The configuration holds, with lists for a value per network:

    objective: jepa or mae. encoder: arguments of models.MLP; its seeds are the networks. data: class_path and
    init_args of a data module with `features()`. until: end, in gradient-flow time. kappa, weight_decay, tau (none: no
    teacher), head (factor on the initial head), perturbation (of the initial first layer, relative). tolerance: relative error of a step. levels: name -> gain of each feature
    [N, f] whose first crossing is wanted. fractions: of the feature's own final gain, crossed when. device.

    The table has, per feature i: feature-i/lam and feature-i/rho, gain/i at the start and the end, crossing/<level>/i;
    and the number of steps.
    """

    def execute(self, out: Path, command: str = "") -> Result:
        """Integrate.

        Raises:
            Stalled: names time, network and feature; `failed.json` has the same.
            ValueError: the configuration is impossible; nothing was written.
        """
        config = self.resolved()
        path = self.folder(out)
        if done := stored(path):
            return done
        self.need().check()
        encoder = MLP(**config["encoder"], dtype="float64")
        data = getattr(datamodules, config["data"]["class_path"].split(".")[-1])(**config["data"]["init_args"])
        flow, y = assemble(config, encoder, data)
        floor = torch.tensor(encoder.eps, dtype=torch.float64) ** (1 / encoder.depth)
        steps = integrate(
            flow.take,
            y,
            torch.tensor(per_network("until", config["until"], encoder.networks)).to(y),
            config["tolerance"],
            floor.to(y),
        )
        features = data.features()
        features = features if len(features) > 1 else features * encoder.networks
        again = (path / "config.yaml").exists()
        with begun(path, config):
            if done := stored(path):  # by a process that had the lock until now
                return done
            forget(path)
            if again:
                say(f"{path} was not finished; an integration has no checkpoint and starts again")
            start = time.monotonic()
            try:
                trace = follow(steps, flow, y, features)
            except Stopped as stop:
                i, known = mode(flow, stop, features), features[stop.network]
                reason = (
                    f"integration of network {stop.network} stopped at time {stop.time:g}, where feature {i} (lambda "
                    f"{float(known.lam[i]):g}, rho {float(known.rho[i]):g}) moves fastest: {stop.reason}"
                )
                stalled = Stalled(reason, stop.network, stop.time)
                check_held(path)
                write_failure(path, stalled)
                raise stalled from None
            seconds = time.monotonic() - start
            return finish(path, table(trace, config, features), flow.Sxx.device, command, seconds, "integrated")

    def need(self) -> Need:
        """The Jacobians of all networks, factorised, and the steps that are noted."""
        config = self.resolved()
        encoder = config["encoder"]
        sizes = widths(encoder)
        layers = (len(sizes) - 1) * (1 if config["tau"] is None else 2) + 1
        state = layers * max(sizes) ** 2
        return Need(len(encoder["seeds"]), 8 * (4 * state**2 + 2 * NOTED * (2 * max(sizes) + 1)), config["device"])

    def resolved(self) -> dict[str, Any]:
        if wrong := (self.config.keys() - DEFAULTS.keys() - REQUIRED) | (REQUIRED - self.config.keys()):
            valid = ", ".join(sorted(REQUIRED | DEFAULTS.keys()))
            raise ValueError(f"unknown or missing keys {', '.join(sorted(wrong))}; valid keys: {valid}")
        return json.loads(json.dumps(DEFAULTS | self.config))


def assemble(config: dict[str, Any], encoder: MLP, data: Any) -> tuple[GradientFlow, Float[Tensor, "N P"]]:
    """The right-hand side and the initial state, on the configured device."""
    objective: Literal["jepa", "mae"] = config["objective"]
    if objective not in ("jepa", "mae"):
        raise ValueError(f"objective must be jepa or mae, found {objective!r}")
    if objective == "mae" and config["tau"] is not None:
        raise ValueError("tau is the rate of a teacher, which mae has not; leave it out")
    N, moments = encoder.networks, data.moments()
    check_sizes(encoder, data)
    for m in moments:
        m.check()
    layers = [w.detach() for w in encoder.layers]
    head = initialisation.head(layers, encoder.seeds, objective == "jepa", encoder.eps, encoder.init)
    device, D = config["device"], max(encoder.sizes)

    def each(name: str, zero: bool = False) -> Float[Tensor, "N 1 1"]:
        return torch.tensor(per_network(name, config[name], N, zero), dtype=torch.float64)[:, None, None]

    layers[0] = layers[0] + each("perturbation", zero=True) * initialisation.noise(encoder.seeds, encoder.sizes, encoder.eps)
    flow = GradientFlow(
        depth=encoder.depth,
        latent=objective == "jepa",
        Sxx=square([torch.stack([m.Sxx for m in moments])], D)[:, 0].expand(N, -1, -1).to(device),
        Syx=square([torch.stack([m.Syx for m in moments])], D)[:, 0].expand(N, -1, -1).to(device),
        kappa=each("kappa").to(device),
        weight_decay=each("weight_decay", zero=True).to(device),
        tau=None if config["tau"] is None else each("tau").to(device),
    )
    return flow, flow.pack(layers, each("head") * head).to(device)


def gains_of(flow: GradientFlow, index: Tensor, y: Tensor, directions: Tensor, Sxx: Tensor) -> tuple[Tensor, Tensor]:
    """Gain of every feature and its rate of change, both [M, f]."""
    part, d = flow.take(index), Sxx.shape[-1]
    Wbar, rate, Sv = part.product(y)[..., :d], part.product_rate(y)[..., :d], Sxx[index] @ directions[index]
    w = gains(Wbar, Sxx[index], directions[index])
    scale = (directions[index] * Sv).sum(1)
    return w, ((Wbar @ Sv) * (rate @ Sv)).sum(1) / (w * scale**2)


def follow(steps: Iterator[Step], flow: GradientFlow, y: Tensor, features: list[datamodules.Features]) -> Trace:
    """Note the gains at the start and after every accepted step."""
    directions = torch.stack([f.directions for f in features]).to(y)
    # Gains are measured in the metric of the distribution, which sample moments only estimate.
    Sxx = torch.stack([f.metric for f in features]).to(y)
    w, speed = gains_of(flow, torch.arange(len(y), device=y.device), y, directions, Sxx)
    rows = [(torch.zeros(len(y), dtype=y.dtype, device=y.device), w, speed)]
    for step in steps:
        t, w, speed = (v.clone() for v in rows[-1])
        t[step.index] = step.t
        w[step.index], speed[step.index] = gains_of(flow, step.index, step.y, directions, Sxx)
        rows.append((t, w, speed))
    return Trace(*(torch.stack(parts).cpu() for parts in zip(*rows, strict=True)))


def mode(flow: GradientFlow, stop: Stopped, features: list[datamodules.Features]) -> int:
    """The feature that moves fastest, relative to its gain, where an integration stopped."""
    directions, metric = (torch.stack([getattr(f, of) for f in features]).to(stop.y) for of in ("directions", "metric"))
    w, speed = gains_of(flow, torch.tensor([stop.network], device=stop.y.device), stop.y[None], directions, metric)
    return int((speed / w).abs().nan_to_num(torch.inf)[0].argmax())


def table(trace: Trace, config: dict[str, Any], features: list[datamodules.Features]) -> pd.DataFrame:
    """The tidy table of a trace."""
    N = trace.t.shape[1]
    steps, last = (trace.t.diff(dim=0) > 0).sum(0), trace.w[-1]
    start, end = (torch.zeros_like(steps), trace.t[0]), (steps, trace.t[-1])
    rows: list[tuple[str, Tensor, tuple[Tensor, Tensor]]] = [("steps", steps.double(), end)]

    def add(name: str, values_Nf: Tensor, when: tuple[Tensor, Tensor]) -> None:
        rows.extend((name.format(i), column, when) for i, column in enumerate(values_Nf.T))

    for of in ("lam", "rho"):
        add(f"feature-{{}}/{of}", torch.stack([getattr(f, of) for f in features]), start)
    add("gain/{}", trace.w[0], start)
    add("gain/{}", last, end)
    levels = {name: torch.tensor(v, dtype=torch.float64).expand(last.shape) for name, v in config["levels"].items()}
    levels |= {f"{fraction:g} of final": fraction * last for fraction in config["fractions"]}
    for name, level in levels.items():
        add(f"crossing/{name}/{{}}", first_crossing(trace.t, trace.w, trace.speed, level), end)
    parts = [
        pd.DataFrame({"network": range(N), "step": step, "time": t, "metric": name, "value": value})
        for name, value, (step, t) in rows
    ]
    return pd.concat(parts, ignore_index=True)
