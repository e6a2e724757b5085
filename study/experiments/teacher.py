"""Prediction F: a slow teacher keeps what MAE keeps until it has turned over; a fast predictor keeps it for good.

Claim: With a slow teacher the encoder of a deep linear JEPA depends on the number of the teacher's turnovers (tau t, or the sum of
1 - momentum) alone, not on covariance or time: the ratio of two features' gains starts at MAE's, (rho_a/rho_b)^(L/(L+1)), and goes
to JEPA's, (rho_a/rho_b)^L, like e^(-n/(L+1)). A head that learns kappa times as fast decides where it ends: for large kappa the
encoder keeps the noise.
Command: study run teacher
Expected: ratios within 1 % of the closed form at 0.01 to 32 turnovers; turnovers until the share is .05 within 2 %.
Time: about 1 minute on 2 CPU cores.

A distractor (rho = 0.4) and a signal (rho = 0.9) start with singular values 0.9. A teacher's slowness is its rate over the slowest
rate, (L+1) lambda rho^(2L-1), at which a student relaxes. Networks differ in slowness, turnovers and variances. Shares are of feature
variance, where both have the same variance in x.
"""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from study.experiments.base import Claim, Figures, Plan, Results, check_count
from study.experiments.linear import OBJECTIVES, LinearExperiment, read
from study.experiments.verdict import Region, above, around
from study.running.run import Run
from study.statistics import interval
from study.theory import flow, teacher

DISTRACTOR, SIGNAL = 0.4, 0.9
RHO = np.array([DISTRACTOR, SIGNAL])
START = 0.9  # u, v and u' at first
VARIANCES = ((1.0, 1.0), (9.0, 1.0), (1.0, 9.0))  # of distractor and signal in x
SLOWNESS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
TURNOVERS = (0.01, 0.1, 0.3, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
KAPPAS = (1.0, 3.0, 10.0, 100.0)
LITTLE = 0.05  # share at which a distractor counts as left behind
NEAR = np.linspace(0.9, 1.1, 5)  # times the predicted number of turnovers
DEPTHS = (1, 2, 4)
RANDOM = {"small": 0.02, "large": START**2}  # scales eps of random weights, at depth 2
PAIRS = 3  # distractors and as many signals, in networks with random weights
BEFORE, AFTER = 0.01, 16.0  # turnovers of these


def ratio(gains: NDArray) -> NDArray:
    """Gain of the distractor over that of the signal, the last dimension."""
    return gains[..., 0] / gains[..., 1]


def share(ratios: Any) -> NDArray:
    return teacher.share(ratios, 1.0)


def predicted(turnovers: Any, depth: int, kappa: float = 1.0) -> NDArray:
    """The ratio with a slow teacher (theory, section 6 F)."""
    return ratio(np.stack([teacher.gain_with_predictor(turnovers, rho, depth, START, kappa) for rho in RHO], -1))


def needed(depth: int) -> float:
    """Turnovers until the distractor's share is LITTLE."""
    return float(teacher.turnovers_until((LITTLE / (1 - LITTLE)) ** 0.5, (DISTRACTOR, SIGNAL), depth, (START, START)))


@dataclass
class Teacher(LinearExperiment):
    """Gains over the turnovers of a teacher.

    Args:
        tolerance: relative error of one step of the integrator; the first correction is small.
        seeds: networks with random weights.
    """

    free = ("tolerance", "seeds")
    name = "teacher"
    expected = "15 runs of 3 to 189 networks, about 1 min on 2 cores"
    minutes = 1
    tolerance: float = 1e-8
    seeds: int = 8

    def __post_init__(self) -> None:
        check_count("seeds", self.seeds, least=2)

    def plan(self) -> Plan:
        runs = [run for scale in RANDOM for run in self.random(scale)]
        for L in DEPTHS:
            runs.append(self.taught(f"turnovers-L{L}", L, itertools.product(SLOWNESS, TURNOVERS, VARIANCES)))
            alike = itertools.product(SLOWNESS[:1], TURNOVERS * len(KAPPAS), VARIANCES[:1])
            runs.append(self.taught(f"kappa-L{L}", L, alike, kappa=np.repeat(KAPPAS, len(TURNOVERS)).tolist()))
            runs.append(self.integration(f"pixels-L{L}", "mae", VARIANCES * RHO, RHO, L, START**L, 1e6))
            if np.isfinite(needed(L)):
                runs.append(self.taught(f"near-L{L}", L, itertools.product(SLOWNESS[:1], NEAR * needed(L), VARIANCES[:1])))
        yield {run.name: run for run in runs}

    def taught(self, name: str, depth: int, networks: Iterable[tuple], **more: Any) -> Run:
        """Networks of (slowness, turnovers, variances)."""
        slowness, turnovers, variances = (np.array(values) for values in zip(*networks, strict=True))
        tau = slowness * (depth + 1) * (variances * RHO ** (2 * depth)).min(1)
        lam = variances * RHO
        return self.integration(
            name,
            "jepa",
            lam,
            RHO,
            depth,
            START**depth,
            turnovers / tau,
            target="models.EMA",
            flow={"tau": tau.tolist()},
            **more,
        )

    def random(self, scale: str) -> tuple[Run, Run]:
        """MAE, and JEPA with a slow teacher, of depth 2 from independent normal weights."""
        rho, seeds = np.tile(RHO, (self.seeds, PAIRS)), list(range(self.seeds))
        tau = SLOWNESS[0] * 3 * DISTRACTOR**4
        until, both = np.repeat([BEFORE, AFTER], self.seeds) / tau, np.tile(rho, (2, 1))
        alike: dict[str, Any] = {"depth": 2, "eps": RANDOM[scale], "init": "normal"}
        coarse = {"tolerance": 100 * self.tolerance}  # seeds differ by far more
        return (
            self.integration(f"pixels-{scale}", "mae", rho, rho, until=1e6, seeds=seeds, flow=coarse, **alike),
            self.integration(
                f"random-{scale}",
                "jepa",
                both,
                both,
                until=until,
                seeds=seeds * 2,
                target="models.EMA",
                flow=coarse | {"tau": tau},
                **alike,
            ),
        )

    def measured(self, results: Results, depth: int) -> NDArray:
        """Ratios of gains [slowness, turnovers, variances]."""
        return ratio(read(results[f"turnovers-L{depth}"], "linear/gain")).reshape(len(SLOWNESS), len(TURNOVERS), len(VARIANCES))

    def under(self, results: Results, depth: int) -> NDArray:
        """Ratios of gains [kappa, turnovers]."""
        return ratio(read(results[f"kappa-L{depth}"], "linear/gain")).reshape(len(KAPPAS), len(TURNOVERS))

    def shares(self, results: Results, scale: str) -> NDArray:
        """Shares of the distractors from random weights [MAE, JEPA before, JEPA after; seeds]."""
        gains = np.concatenate([read(results[f"{kind}-{scale}"], "linear/gain") for kind in ("pixels", "random")])
        return share(ratio(np.sqrt((gains.reshape(3, self.seeds, PAIRS, 2) ** 2).sum(2))))

    def claims(self, results: Results) -> list[Claim]:
        return [claim for L in DEPTHS for claim in self.balanced(results, L)] + self.from_random(results)

    def balanced(self, results: Results, L: int) -> list[Claim]:
        text, source = f"JEPA, depth {L}, slowness {SLOWNESS[0]:g}: ", "theory section 6 F"
        span = f"at {TURNOVERS[0]:g} to {TURNOVERS[-1]:g} turnovers"
        measured, slow = self.measured(results, L), predicted(TURNOVERS, L)[:, None]
        pixels = ratio(read(results[f"pixels-L{L}"], "linear/gain"))
        powers = np.polyfit(np.log(SLOWNESS[:3]), np.log(np.abs(measured[:3, 4] / slow[4] - 1)), 1)[0]
        off = np.abs(self.under(results, L) / np.stack([predicted(TURNOVERS, L, kappa) for kappa in KAPPAS]) - 1)
        if np.isfinite(needed(L)):
            shares = share(ratio(read(results[f"near-L{L}"], "linear/gain")))
            last = self.claim(
                f"share-L{L}", f"{text}turnovers until the distractor's share of feature variance is {LITTLE:g}, over the {needed(L):.2f} "
                "predicted, within 2 %", source, "1", around(1, 0.02), float(np.interp(-LITTLE, -shares, NEAR)),
            )  # fmt: skip
        else:
            last = self.claim(
                f"share-L{L}", f"{text}the distractor's share of feature variance after {TURNOVERS[-1]:g} turnovers is still above {LITTLE:g}",
                source, f"{share((DISTRACTOR / SIGNAL) ** L):.3f}", above(LITTLE), float(share(measured[0, -1, 0])),
            )  # fmt: skip
        return [
            self.claim(
                f"turnovers-L{L}", f"{text}distractor's gain over the signal's, {span} and three ratios of variances, over that of turnovers "
                "alone, within 1 % (range)", source, "1", around(1, 0.01), measured[0] / slow,
            ),
            self.claim(
                f"mae-L{L}", f"{text}the same ratio after {TURNOVERS[0]:g} turnovers over the one that MAE ends at, within 1 % (range over "
                "ratios of variances)", source, "1", around(1, 0.01), measured[0, 0] / pixels,
            ),
            self.claim(
                f"correction-L{L}", f"JEPA, depth {L}, {TURNOVERS[4]:g} turnovers: distance from the slow limit falls with the teacher's rate; "
                f"exponent from slowness {SLOWNESS[2]:g} to {SLOWNESS[0]:g} within 0.1 of 1 (range over ratios of variances)",
                source, "1", around(1, 0.1), powers,
            ),
            last,
            self.claim(
                f"kappa-L{L}", f"{text}kappa {KAPPAS[0]:g} to {KAPPAS[-1]:g}: ratios of gains {span} are those of u^2 - v^2 / kappa = const "
                "within 1 % (largest error)", source, "0 (<= 0.01)", Region(at_most=0.01), off.max(), n=off.size,
            ),
        ]  # fmt: skip

    def from_random(self, results: Results) -> list[Claim]:
        end = float(share(predicted(AFTER, 2))[0])
        shares = {scale: self.shares(results, scale) for scale in RANDOM}
        found = {
            "mae": shares["small"][1] - shares["small"][0],
            "small": shares["small"][2] - end,
            "large": shares["large"][2] - end,
        }
        interval_of = {name: interval(values) for name, values in found.items()}

        def claim(name: str, what: str, expected: str, region: Region) -> Claim:
            mean, low, high = interval_of[name]
            text = f"JEPA, depth 2, slow teacher, independent normal weights of scale {what} (95 % interval over seeds)"
            return self.claim(
                f"random-{name}", text, "theory section 6 F, ordinary weights", expected, region, [low, high], mean, self.seeds
            )

        return [
            claim("mae", f"{RANDOM['small']:g}: the distractors' share after {BEFORE:g} turnovers, less MAE's from the same weights, is at most "
                  "0.02 either way", "0", around(0, 0.02)),
            claim("small", f"{RANDOM['small']:g}: the distractors' share after {AFTER:g} turnovers, less the {end:.3f} of balanced weights, is "
                  "at most 0.02 either way", "0", around(0, 0.02)),
            claim("large", f"{RANDOM['large']:g}: the distractors' share after {AFTER:g} turnovers, less the {end:.3f} of balanced weights, is "
                  "positive", "> 0", above(0)),
        ]  # fmt: skip

    def reported(self, results: Results) -> list[dict[str, Any]]:
        rows = []

        def add(depth: int, weights: str, teacher_of: str, values: NDArray) -> None:
            shown = {f"share, {n:g} turnovers": f"{v:.3f}" for n, v in zip(TURNOVERS, share(values), strict=True)}
            pixels = share(ratio(read(results[f"pixels-L{depth}"], "linear/gain")))[0]
            rows.append({"depth": depth, "slowness": weights, "kappa": teacher_of} | shown | {"share, MAE": f"{pixels:.3f}"})

        for L in DEPTHS:
            for s, values in zip(SLOWNESS, self.measured(results, L)[..., 0], strict=True):
                add(L, f"{s:g}", "1", values)
            for kappa, values in zip(KAPPAS[1:], self.under(results, L)[1:], strict=True):
                add(L, f"{SLOWNESS[0]:g}", f"{kappa:g}", values)
        return rows

    def figures(self, results: Results) -> Figures:
        from study import figures

        n, speeds, heads = np.geomspace(TURNOVERS[0], TURNOVERS[-1], 200), {}, {}
        for L in DEPTHS:
            dots = {f"{s:g}": share(v) for s, v in zip(SLOWNESS, self.measured(results, L)[..., 0], strict=True)}
            levels = [float(share(ratio(flow.fixed_point(objective, RHO, L)))) for objective in OBJECTIVES]
            speeds[f"L = {L}"] = {"slow limit": share(predicted(n, L))}, dots, levels
            lines = {f"{k:g}": share(predicted(n, L, k)) for k in KAPPAS}
            heads[f"L = {L}"] = lines, {f"{k:g}": share(v) for k, v in zip(KAPPAS, self.under(results, L), strict=True)}, levels
        return {
            "A distractor's share of feature variance over the teacher's turnovers. Black: slow limit; dots: integrated networks, by the "
            "teacher's rate over the student's slowest; dotted: MAE's share (above) and the end (below).": figures.share_over_turnovers(
                speeds, n, np.array(TURNOVERS), "slowness"
            ),
            "The same with a head that learns kappa times as fast. Lines: slow limit; dots: integrated networks.": (
                figures.share_over_turnovers(heads, n, np.array(TURNOVERS), "kappa")
            ),
        }
