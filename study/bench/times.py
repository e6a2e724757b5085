"""Exact critical times of one mode against numerical integration: scipy's, one mode after the other, and our stack's."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.integrate import solve_ivp
from torch import Tensor

from study.bench.base import REPEATS, Row, summary
from study.theory import exact, flow, rosenbrock
from study.theory.crossing import first_crossing
from study.theory.flow import Objective

VALUES, BLOCK, SAMPLE, STACK = 1_000_000, 4096, 8, 512  # exact times in all; at once; by scipy and by the stack per repeat
TOLERANCE = 1e-8


@dataclass(frozen=True)
class Modes:
    """Modes of one objective: covariance, regression coefficient, depth, initial gain, [n] each."""

    objective: Objective
    lam: NDArray
    rho: NDArray
    depth: NDArray
    eps: NDArray

    def __len__(self) -> int:
        return len(self.lam)

    def part(self, first: int, last: int) -> "Modes":
        return Modes(self.objective, *(v[first:last] for v in (self.lam, self.rho, self.depth, self.eps)))

    def ends(self) -> tuple[NDArray, NDArray]:
        """log u at the start and at half of the fixed point."""
        return np.log(self.eps) / self.depth, np.log(flow.fixed_point(self.objective, self.rho, self.depth) / 2) / self.depth


def mixed(count: int, seed: int = 0) -> list[Modes]:
    """Half JEPA and half MAE: depths 1 to 8, rho 0.2 to 0.95, lambda 0.1 to 10, eps a factor 10 to 1e4 below the level."""
    made, n = [], count // 2
    for number, objective in enumerate(get_args(Objective)):
        draw = np.random.default_rng([seed, number])
        depth, rho, lam = draw.integers(1, 9, n).astype(float), draw.uniform(0.2, 0.95, n), 10 ** draw.uniform(-1, 1, n)
        level = flow.fixed_point(objective, rho, depth) / 2
        made.append(Modes(objective, lam, rho, depth, level * 10 ** draw.uniform(-4, -1, n)))
    return made


def by_formula(modes: list[Modes]) -> NDArray:
    """study.theory.exact, in blocks that stay in the processor's cache."""
    blocks = (m.part(i, i + BLOCK) for m in modes for i in range(0, len(m), BLOCK))
    return np.concatenate([exact.critical_time(b.objective, b.lam, b.rho, b.depth, b.eps) for b in blocks])


def by_scipy(modes: list[Modes]) -> NDArray:
    """solve_ivp with LSODA, which is compiled and takes stiff modes, on log u until the level."""
    return np.array([one(m.part(i, i + 1)) for m in modes for i in range(len(m))])


def one(mode: Modes) -> float:
    (start,), (level,) = mode.ends()
    lam, rho, L = (float(v[0]) for v in (mode.lam, mode.rho, mode.depth))
    power, inner = (2 * L - 1, 1.0) if mode.objective == "jepa" else (L - 1, L + 1)

    def velocity(_: float, y: NDArray) -> list[float]:
        u = float(np.exp(y[0]))
        return [lam * u**power * (1 - u**inner / rho)]

    def reached(_: float, y: NDArray) -> float:
        return y[0] - level

    reached.terminal = True  # type: ignore[attr-defined]
    slowest = velocity(0, np.array([start]))[0]
    until = 10 * (level - start + 1) / min(slowest, velocity(0, np.array([level]))[0])
    made = solve_ivp(velocity, (0, until), [start], "LSODA", events=reached, rtol=TOLERANCE, atol=TOLERANCE)
    assert made.t_events is not None
    return float(made.t_events[0][0])


@dataclass(frozen=True)
class LogModes:
    """d log u / dt of M modes, for study.theory.rosenbrock."""

    lam: Tensor
    rho: Tensor
    power: Tensor
    inner: Tensor

    def velocity(self, y: Tensor) -> Tensor:
        u = y[:, 0].exp()
        return (self.lam * u**self.power * (1 - u**self.inner / self.rho))[:, None]

    def jacobian(self, y: Tensor) -> Tensor:
        u = y[:, 0].exp()
        growth = self.power - (self.power + self.inner) * u**self.inner / self.rho
        return (self.lam * u**self.power * growth)[:, None, None]

    def take(self, index: Tensor) -> "LogModes":
        return LogModes(self.lam[index], self.rho[index], self.power[index], self.inner[index])


def by_stack(modes: list[Modes], until: NDArray) -> NDArray:
    """study.theory.rosenbrock, all modes as one stack, until a little later than the level."""
    jepa = np.concatenate([np.full(len(m), m.objective == "jepa") for m in modes])
    lam, rho, L = (np.concatenate([getattr(m, name) for m in modes]) for name in ("lam", "rho", "depth"))
    power, inner = np.where(jepa, 2 * L - 1, L - 1), np.where(jepa, 1, L + 1)
    system = LogModes(*(torch.from_numpy(v) for v in (lam, rho, power, inner)))
    start, level = (torch.from_numpy(np.concatenate(v))[:, None] for v in zip(*(m.ends() for m in modes), strict=True))
    t, w, speed = trace(system, start, torch.from_numpy(1.01 * until))
    return first_crossing(t, w, speed, level.exp())[:, 0].numpy()


def trace(system: LogModes, y: Tensor, until: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """t [T, N], u and du/dt [T, N, 1] of every accepted step."""

    def states() -> Iterator[tuple[Tensor, Tensor]]:
        t, state = torch.zeros_like(until), y.clone()
        yield t, state
        for step in rosenbrock.integrate(system.take, y, until, TOLERANCE):
            t, state = t.clone(), state.clone()
            t[step.index], state[step.index] = step.t, step.y
            yield t, state

    t, states_TN1 = (torch.stack(parts) for parts in zip(*states(), strict=True))
    w = states_TN1.exp()
    return t, w, w * torch.stack([system.velocity(state) for state in states_TN1])


def rows(device: str, values: int | None = None) -> list[Row]:
    """Critical times per second, and the largest relative distance from the formula. Formula and scipy use one thread of the
    CPU; the stack uses torch's (whose number must not be changed in a process that factorises matrices: torch 2.15 then
    fails in linalg.solve)."""
    return timings(values or VALUES)


def timings(values: int) -> list[Row]:
    """The methods in turns, each on modes of its own."""
    counts = {"formula": values // REPEATS, "scipy LSODA": SAMPLE, "our Rosenbrock stack": STACK}
    rates: dict[str, list[float]] = {name: [] for name in counts}
    far = dict.fromkeys(counts, 0.0)
    by_formula(mixed(BLOCK))
    for repeat in range(REPEATS):
        for name, count in counts.items():
            modes = mixed(count, repeat)
            expected = np.empty(0) if name == "formula" else by_formula(modes)
            start = time.perf_counter()
            if name == "formula":
                found = by_formula(modes)
            else:
                found = by_scipy(modes) if name == "scipy LSODA" else by_stack(modes, expected)
            rates[name].append(len(found) / (time.perf_counter() - start))
            if len(expected):
                far[name] = max(far[name], float(np.abs(found / expected - 1).max()))
    medians = {name: summary(samples) for name, samples in rates.items()}
    return [
        Row("times", "mixed modes, 1 thread", name, "critical times/s", *medians[name], REPEATS,
            ratio=medians[name][0] / medians["formula"][0], reference="formula",
            note=f"{counts[name]} per repeat" + (f"; {far[name]:.1g} from the formula" if name != "formula" else ""))
        for name in counts
    ]  # fmt: skip
