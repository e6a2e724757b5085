"""Figures of what is predicted beyond the paper, beside what was measured."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from study.figures.style import COLOURS, few_ticks, name_axes, tidy
from study.statistics import interval
from study.theory import flow


def over_parameter(
    panels: Mapping[str, tuple[NDArray, NDArray, NDArray, NDArray]], rho: NDArray, xlabel: str, ylabel: str, columns: int
) -> Figure:
    """Theory (x, [x, features], lines) and measurement (x, [x, features], dots) over a parameter on a logarithmic axis."""
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(3.3 * columns + 0.8, 2.5 * rows), layout="constrained")
    norm, colours = Normalize(rho.min(), rho.max()), colormaps["viridis"]
    axes = figure.subplots(rows, columns, sharex=True, squeeze=False)
    for panel, (title, (x, theory, points, measured)) in zip(axes.flat, panels.items(), strict=False):
        for i, r in enumerate(rho):
            panel.plot(x, theory[:, i], color=colours(norm(r)), linewidth=1.2)
            panel.plot(points, measured[:, i], ".", color=colours(norm(r)), markersize=6)
        panel.set_xscale("log")
        panel.set_title(title, fontsize=9)
        tidy(panel)
    name_axes(axes, xlabel, ylabel)
    figure.colorbar(ScalarMappable(norm, colours), ax=axes, label="regression coefficient rho", shrink=0.6, pad=0.01)
    return figure


def survival(panels: Mapping[tuple[flow.Objective, int], tuple[NDArray, NDArray, NDArray, NDArray]], rho: NDArray) -> Figure:
    """Threshold of weight decay over rho (line) and features that were kept (filled) or lost (open)."""
    depths = list(dict.fromkeys(L for _, L in panels))
    figure = Figure(figsize=(2.7 * len(depths) + 0.6, 5.0), layout="constrained")
    axes = figure.subplots(2, len(depths), sharex=True, squeeze=False)
    for (objective, depth), (x, threshold, ratio, kept) in panels.items():
        panel, colour = axes[list(COLOURS).index(objective), depths.index(depth)], COLOURS[objective]
        where = np.broadcast_to(rho, ratio.shape)
        near = (ratio > 0.8 * np.interp(where, x, threshold)) & (ratio < 1.25 * np.interp(where, x, threshold))
        panel.plot(x, threshold, color="black", linewidth=1)
        panel.plot(where[kept & near], ratio[kept & near], "o", color=colour, markersize=4)
        panel.plot(where[~kept & near], ratio[~kept & near], "o", color=colour, markersize=4, fillstyle="none")
        panel.set_title(f"{objective.upper()}, depth L = {depth}", fontsize=10)
        panel.set_yscale("log")
        tidy(panel)
    name_axes(axes, "regression coefficient rho", "weight decay eta / lambda")
    return figure


def kept_features(kept: Mapping[tuple[flow.Objective, int], NDArray], lam: NDArray, rho: NDArray) -> Figure:
    """Features of all networks in the plane of rho and lambda, filled where kept."""
    depths = list(dict.fromkeys(L for _, L in kept))
    figure = Figure(figsize=(3.0 * len(depths) + 0.6, 5.4), layout="constrained")
    axes = figure.subplots(2, len(depths), sharex=True, sharey=True, squeeze=False)
    x, y = np.meshgrid(np.linspace(rho.min(), rho.max(), 50), np.linspace(lam.min(), lam.max(), 50))
    for (objective, depth), filled in kept.items():
        panel, colour = axes[list(COLOURS).index(objective), depths.index(depth)], COLOURS[objective]
        panel.contour(x, y, x * y, levels=6, colors="lightgrey", linewidths=0.8)
        panel.plot(rho[filled], lam[filled], "o", color=colour, markersize=4)
        panel.plot(rho[~filled], lam[~filled], "o", color=colour, markersize=4, fillstyle="none", alpha=0.6)
        panel.set_title(f"{objective.upper()}, depth L = {depth}", fontsize=10)
        panel.spines[["top", "right"]].set_visible(False)
    name_axes(axes, "regression coefficient rho", "covariance lambda")
    return figure


def shares_over_samples(shares: Mapping[str, Mapping[flow.Objective, Sequence[tuple[float, float, float, float]]]]) -> Figure:
    """(samples, share, low, high) per model (panel) and objective (colour)."""
    figure = Figure(figsize=(3.4 * len(shares), 3.0), layout="constrained")
    for axes, (model, members) in zip(
        figure.subplots(1, len(shares), sharey=True, squeeze=False)[0], shares.items(), strict=True
    ):
        for objective, values in members.items():
            n, mean, low, high = np.array(values).T
            shifted = n * (1.04 if objective == "mae" else 0.96)
            axes.errorbar(
                shifted, mean, (mean - low, high - mean), marker="o", markersize=4, capsize=2, color=COLOURS[objective],
                label=objective.upper(),
            )  # fmt: skip
        axes.set(xscale="log", xlabel="samples", ylim=(-0.03, 1.03), title=model)
        tidy(axes)
        axes.legend(frameon=False, fontsize=8)
    figure.axes[0].set_ylabel("share with the right order")
    return figure


def measured_over_exact(panels: Mapping[tuple[flow.Objective, int], tuple[NDArray, NDArray]], rho: NDArray) -> Figure:
    """Measured over exact critical times, log-log, one panel per objective and depth."""
    figure = Figure(figsize=(2.9 * len(panels) + 0.8, 3.0), layout="constrained")
    for axes, ((objective, depth), (theory, measured)) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
    ):
        shown = axes.scatter(theory, measured, c=rho, s=8, cmap="viridis", vmin=rho.min(), vmax=rho.max())
        line = np.array([theory.min(), theory.max()])
        axes.plot(line, line, color="grey", linewidth=0.8)
        axes.set(xscale="log", yscale="log", title=f"{objective.upper()}, L = {depth}", xlabel="exact critical time")
        few_ticks(axes.xaxis)
        few_ticks(axes.yaxis)
        tidy(axes)
    figure.axes[0].set_ylabel("critical time of trained network")
    figure.colorbar(shown, ax=figure.axes, label="rho", shrink=0.8, pad=0.01)
    return figure


def correlations(found: Mapping[str, Mapping[flow.Objective, NDArray]]) -> Figure:
    """One value per seed (dots) and mean with interval, by variation (row) and objective (colour)."""
    figure = Figure(figsize=(7.2, 0.42 * len(found) + 1), layout="constrained")
    axes = figure.subplots()
    for row, members in enumerate(found.values()):
        for objective, values in members.items():
            y = row + (0.17 if objective == "mae" else -0.17)
            mean, low, high = interval(values)
            axes.plot(values, np.full(len(values), y), ".", color=COLOURS[objective], alpha=0.35)
            axes.errorbar(
                mean, y, xerr=[[mean - low], [high - mean]], fmt="o", color=COLOURS[objective], markersize=4, capsize=2
            )
    axes.set_yticks(range(len(found)), list(found))
    axes.invert_yaxis()
    axes.axvline(0, color="grey", linewidth=0.8)
    for objective, colour in COLOURS.items():
        axes.plot([], [], "o", color=colour, label=objective.upper())
    axes.set_xlabel("rank correlation with the exact theory")
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    tidy(axes)
    return figure


def share_over_turnovers(
    panels: Mapping[str, tuple[Mapping[str, NDArray], Mapping[str, NDArray], Sequence[float]]],
    x: NDArray,
    points: NDArray,
    legend: str,
) -> Figure:
    """Shares of a distractor: theory (lines over x), measurement (dots at points), both by name, and levels (dotted). A line without
    dots of its name is black."""
    figure = Figure(figsize=(3.3 * len(panels) + 1.2, 3.0), layout="constrained")
    axes = figure.subplots(1, len(panels), sharex=True, squeeze=False)[0]
    for panel, (title, (lines, dots, levels)) in zip(axes, panels.items(), strict=True):
        colours = dict(zip(dots, colormaps["viridis"](np.linspace(0, 0.9, len(dots))), strict=True))
        for name, line in lines.items():
            panel.plot(x, line, color=colours.get(name, "black"), linewidth=1.2)
        for name, measured in dots.items():
            panel.plot(points, measured, ".", color=colours[name], label=name)
        for level in levels:
            panel.axhline(level, color="grey", linestyle=":", linewidth=1)
        panel.set_xscale("log")
        panel.set_ylim(bottom=0)
        panel.set_title(title, fontsize=10)
        panel.set_xlabel("turnovers of the teacher")
        tidy(panel)
    axes[0].set_ylabel("distractor's share of features")
    axes[-1].legend(title=legend, frameon=False, fontsize=7, title_fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure
