"""Figures: drawn from arrays, without pyplot's global state. Axes carry units; theory is a line, measurement a dot."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from study.report.statistics import interval
from study.theory import flow

COLOURS: dict[flow.Objective, str] = {"jepa": "#0b6e99", "mae": "#c4501b"}
STYLES = {"mlp": "-", "linear": "--"}
Curve = tuple[NDArray, NDArray]
Key = tuple[flow.Objective, str]


def _tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)


def trajectories(
    panels: Mapping[tuple[flow.Objective, int], tuple[NDArray, NDArray, NDArray]], rho: Sequence[float], depths: Sequence[int]
) -> Figure:
    """Trained gains (dots) over theory (lines): one panel per objective (row) and depth (column)."""
    figure = Figure(figsize=(3.1 * len(depths) + 0.8, 5.4), layout="constrained")
    axes = figure.subplots(2, len(depths), squeeze=False)
    norm, colours = Normalize(min(rho), max(rho)), colormaps["viridis"]
    for (objective, depth), (t, w, theory) in panels.items():
        panel = axes[list(COLOURS).index(objective), list(depths).index(depth)]
        shown = np.unique(np.linspace(0, len(t) - 1, 26).astype(int))
        for i, r in enumerate(rho):
            panel.plot(t, theory[:, i], color=colours(norm(r)), linewidth=1.2)
            panel.plot(t[shown], w[shown, i], ".", color=colours(norm(r)), markersize=5)
        panel.set_title(f"{objective.upper()}, depth L = {depth}", fontsize=10)
        panel.set_ylim(0, 1.05 * float(np.max(flow.fixed_point("mae", rho, 1))))
        _tidy(panel)
    for panel in axes[-1]:
        panel.set_xlabel("gradient-flow time t")
    for panel in axes[:, 0]:
        panel.set_ylabel("gain w of the feature")
    figure.colorbar(ScalarMappable(norm, colours), ax=axes, label="regression coefficient rho", shrink=0.6, pad=0.01)
    return figure


def critical_times(
    points: Mapping[tuple[flow.Objective, int], tuple[NDArray, NDArray]], rho: Sequence[float], depths: Sequence[int]
) -> Figure:
    """Critical times over rho, relative to the network's fastest feature."""
    figure = Figure(figsize=(9.5, 3.6), layout="constrained")
    axes = dict(zip(COLOURS, figure.subplots(1, 2, sharey=True), strict=True))
    shades = colormaps["plasma"](np.linspace(0.1, 0.8, len(depths)))
    for (objective, depth), (theory, measured) in points.items():
        panel, colour = axes[objective], shades[list(depths).index(depth)]
        panel.plot(rho, theory / theory.min(), color=colour, label=f"L = {depth}")
        for times in measured:
            panel.plot(rho, times / theory.min(), ".", color=colour)
    for objective, panel in axes.items():
        panel.set_title(objective.upper(), fontsize=10)
        panel.set_xlabel("rho (lambda falls from 1 to 0.8)")
        panel.legend(frameon=False, fontsize=8)
        _tidy(panel)
    axes["jepa"].set_ylabel("critical time / the smallest")
    return figure


def error_scaling(scaling: Mapping[tuple[flow.Objective, int], Sequence[tuple[float, float]]], tolerance: float) -> Figure:
    """Worst error over learning rate, log-log."""
    figure = Figure(figsize=(5.6, 3.8), layout="constrained")
    axes = figure.subplots()
    markers = dict(zip((1, 2, 3, 4), "osD^", strict=True))
    for (objective, depth), values in scaling.items():
        rate, error = np.array(values).T
        axes.loglog(
            rate, error, marker=markers[depth], color=COLOURS[objective], markersize=4, label=f"{objective.upper()} L = {depth}"
        )
    axes.axhline(tolerance, color="grey", linestyle=":", label=f"tolerance {tolerance:g}")
    axes.set_xlabel("learning rate")
    axes.set_ylabel("worst error / fixed point")
    axes.legend(frameon=False, fontsize=7, ncols=2)
    _tidy(axes)
    return figure


def _band(axes: Axes, steps: NDArray, values: NDArray, key: Key) -> None:
    objective, encoder = key
    mean, low, high = np.array([interval(v) for v in values]).T
    axes.plot(steps, mean, STYLES[encoder], color=COLOURS[objective], label=f"{objective.upper()}, {encoder}")
    if np.isfinite(low).all():
        axes.fill_between(steps, low, high, color=COLOURS[objective], alpha=0.15, linewidth=0)


def share_and_probe(share: Mapping[Key, Curve], probe: Mapping[Key, Curve], raw: float) -> Figure:
    """Distractor share and validation probe over training."""
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    for key, (steps, values) in share.items():
        _band(left, steps, values, key)
    for key, (steps, values) in probe.items():
        _band(right, steps, 100 * values, key)
    right.axhline(100 * raw, color="grey", linestyle=":", label="raw noisy pixels")
    left.set(xlabel="updates", ylabel="distractor's share of feature variance", ylim=(-0.02, 1.02))
    right.set(xlabel="updates", ylabel="linear probe, validation accuracy (%)")
    for axes in (left, right):
        _tidy(axes)
    right.legend(frameon=False, fontsize=8)
    return figure


def overlaps(curves: Mapping[str, Mapping[Key, Curve]], chance: float) -> Figure:
    """Overlap of the row space with the high-rho and the high-lambda directions over training."""
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    for axes, (by, members) in zip(figure.subplots(1, 2, sharey=True), curves.items(), strict=True):
        for key, (steps, values) in members.items():
            _band(axes, steps, values, key)
        axes.axhline(chance, color="grey", linestyle=":", label="chance")
        axes.set(
            xlabel="updates", ylabel="overlap", title=f"with the highest {'rho' if by == 'rho' else 'lambda'}", ylim=(0, 1.02)
        )
        _tidy(axes)
        axes.legend(frameon=False, fontsize=8)
    return figure


def probe(table: pd.DataFrame) -> Figure:
    """Test accuracy by encoder and tap: one dot per network, a bar for the mean."""
    groups = list(table.groupby(["encoder", "tap"], sort=False))
    figure = Figure(figsize=(1.3 * len(groups) + 1.5, 3.6), layout="constrained")
    axes = figure.subplots()
    for i, (_, group) in enumerate(groups):
        axes.bar(i, 100 * group["test"].mean(), color=COLOURS["jepa"], alpha=0.35)
        axes.plot(np.full(len(group), i), 100 * group["test"], ".", color=COLOURS["jepa"])
    axes.set_xticks(range(len(groups)), [f"{name}\n{tap}" for (name, tap), _ in groups], fontsize=8)
    axes.set_ylabel("linear probe, test accuracy (%)")
    _tidy(axes)
    return figure
