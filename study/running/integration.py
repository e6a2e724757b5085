"""A stack of deep linear networks trained by gradient flow: the ODE of the full matrices, integrated to a tolerance."""

import json
import time
from collections.abc import Iterator, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from datamodules import Features
from models import MLP
from models.gradient_flow import GradientFlow
from models.per_network import per_network
from study.observers.maps import gains
from study.running import inputs
from study.running.assembly import assemble, data_of, encoder_of, learner_of
from study.running.capacity import Need, widths
from study.running.failed import Stalled, forget, write_failure
from study.running.lock import check_held
from study.running.result import Result
from study.running.run import Run, begun, finish, stored
from study.terminal import say
from study.theory.crossing import first_crossing
from study.theory.rosenbrock import Step, Stopped, integrate

REQUIRED = {"model": {"encoder", "objective"}, "data": {"class_path"}, "flow": {"until"}}
DEFAULTS: dict[str, dict[str, Any]] = {
    "model": {"kappa": 1.0, "weight_decay": 0.0},
    "data": {"init_args": {}},
    "flow": {
        "accelerator": "cpu", "tolerance": 1e-7, "tau": None, "head": 1.0, "perturbation": 0.0, "levels": {}, "fractions": [],
    },
}  # fmt: skip
NOTED = 500  # steps of an ordinary integration


@dataclass(frozen=True)
class Trace:
    """Every accepted step, one row per step; a network that did not move in a step repeats its row."""

    t: Float[Tensor, "T N"]
    w: Float[Tensor, "T N f"]
    speed: Float[Tensor, "T N f"]


class Integration(Run):
    """Gradient flow of N networks. The configuration has the model and data of `study fit --config`, and `flow` in the trainer's place;
    lists hold a value per network.

    model: encoder (a linear models.MLP in float64, whose seeds are the networks), objective (StopGradient, EMA or Pixels),
    kappa, weight_decay. data: pairs with known `features()`. flow: until (end, in gradient-flow time), accelerator ("cpu" or "cuda"),
    tolerance (relative error of a step), tau (rate of an EMA's teacher, the limit of (1 - decay) / lr), head (factor on
    the initial head), perturbation (of the initial first layer, relative), levels (name -> gain of each feature [N, f] whose
    first crossing is wanted), fractions (of the feature's own final gain, crossed when).

    The table has, per feature i, as that of a training feature-i/lam and feature-i/rho, and linear/gain/i at the start and the end;
    linear/crossing/<level>/i; and the number of steps.
    """

    def execute(self, out: Path, command: str = "") -> Result:
        """Integrate.

        Raises:
            Stalled: names time, network and feature; `failed.json` has the same.
            ValueError: the configuration is impossible; nothing was written.
        """
        config, depends = self.resolved(), self.inputs()
        path = self.folder(out, depends)
        if done := stored(path):
            return done
        self.need().check()
        learner, data = learner_of(config["model"]), data_of(config)
        encoder, options = learner.encoder, config["flow"]
        assert isinstance(encoder, MLP), "as learner_of makes it"
        flow, y = assemble(options, learner, data)
        floor = torch.tensor(encoder.eps, dtype=torch.float64) ** (1 / encoder.depth)
        steps = integrate(
            flow.take,
            y,
            torch.tensor(per_network("flow.until", options["until"], encoder.networks)).to(y),
            options["tolerance"],
            floor.to(y),
        )
        features = data.features()
        features = features if len(features) > 1 else features * encoder.networks
        self.check_inputs(depends)
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
            return finish(path, table(trace, options, features), flow.Sxx.device, command, seconds, "integrated", depends)

    def need(self) -> Need:
        """The Jacobians of all networks, factorised, and the steps that are noted."""
        config = self.resolved()
        encoder = encoder_of(config["model"]).keywords
        sizes = widths(encoder)
        layers = (len(sizes) - 1) * (1 if config["flow"]["tau"] is None else 2) + 1
        state = layers * max(sizes) ** 2
        each = 8 * (4 * state**2 + 2 * NOTED * (2 * max(sizes) + 1))
        return Need(len(encoder["seeds"]), each, config["flow"]["accelerator"])

    def inputs(self) -> dict[str, str]:
        config = self.resolved()
        return inputs.known(config, data_of(config).files())

    def resolved(self) -> dict[str, Any]:
        check_keys("", self.config, set(REQUIRED), set())
        for part, required in REQUIRED.items():
            check_keys(f"{part}: ", self.config[part], required, DEFAULTS[part].keys())
        config = json.loads(json.dumps({part: DEFAULTS[part] | self.config[part] for part in REQUIRED}))
        if (device := config["flow"]["accelerator"]) not in ("cpu", "cuda"):
            raise ValueError(f"flow.accelerator must be cpu or cuda, found {device!r}")
        return config


def check_keys(where: str, given: dict[str, Any], required: Set[str], optional: Set[str]) -> None:
    """Raises ValueError: keys are unknown or missing."""
    if wrong := (given.keys() - required - optional) | (required - given.keys()):
        valid = ", ".join(sorted(required | optional))
        raise ValueError(f"{where}unknown or missing keys {', '.join(sorted(wrong))}; valid keys: {valid}")


def gains_of(flow: GradientFlow, index: Tensor, y: Tensor, directions: Tensor, Sxx: Tensor) -> tuple[Tensor, Tensor]:
    """Gain of every feature and its rate of change, both [M, f]."""
    part, d = flow.take(index), Sxx.shape[-1]
    Wbar, rate, Sv = part.product(y)[..., :d], part.product_rate(y)[..., :d], Sxx[index] @ directions[index]
    w = gains(Wbar, Sxx[index], directions[index])
    scale = (directions[index] * Sv).sum(1)
    return w, ((Wbar @ Sv) * (rate @ Sv)).sum(1) / (w * scale**2)


def follow(steps: Iterator[Step], flow: GradientFlow, y: Tensor, features: list[Features]) -> Trace:
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


def mode(flow: GradientFlow, stop: Stopped, features: list[Features]) -> int:
    """The feature that moves fastest, relative to its gain, where an integration stopped."""
    directions, metric = (torch.stack([getattr(f, of) for f in features]).to(stop.y) for of in ("directions", "metric"))
    w, speed = gains_of(flow, torch.tensor([stop.network], device=stop.y.device), stop.y[None], directions, metric)
    return int((speed / w).abs().nan_to_num(torch.inf)[0].argmax())


def table(trace: Trace, options: dict[str, Any], features: list[Features]) -> pd.DataFrame:
    """The tidy table of a trace."""
    N = trace.t.shape[1]
    steps, last = (trace.t.diff(dim=0) > 0).sum(0), trace.w[-1]
    start, end = (torch.zeros_like(steps), trace.t[0]), (steps, trace.t[-1])
    rows: list[tuple[str, Tensor, tuple[Tensor, Tensor]]] = [("steps", steps.double(), end)]

    def add(name: str, values_Nf: Tensor, when: tuple[Tensor, Tensor]) -> None:
        rows.extend((name.format(i), column, when) for i, column in enumerate(values_Nf.T))

    for of in ("lam", "rho"):
        add(f"feature-{{}}/{of}", torch.stack([getattr(f, of) for f in features]), start)
    add("linear/gain/{}", trace.w[0], start)
    add("linear/gain/{}", last, end)
    levels = {name: torch.tensor(v, dtype=torch.float64).expand(last.shape) for name, v in options["levels"].items()}
    levels |= {f"{fraction:g} of final": fraction * last for fraction in options["fractions"]}
    for name, level in levels.items():
        add(f"linear/crossing/{name}/{{}}", first_crossing(trace.t, trace.w, trace.speed, level), end)
    parts = [
        pd.DataFrame({"network": range(N), "step": step, "time": t, "metric": name, "value": value})
        for name, value, (step, t) in rows
    ]
    return pd.concat(parts, ignore_index=True)
