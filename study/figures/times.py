"""Figures of trajectories and of when features are learned."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from study.figures.style import COLOURS, name_axes, tidy
from study.theory import asymptotic, exact, flow


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
        tidy(panel)
    name_axes(axes, "gradient-flow time t", "gain w of the feature")
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
        tidy(panel)
    axes["jepa"].set_ylabel("critical time / the smallest")
    return figure


def times_over_scale(
    measured: Mapping[tuple[flow.Objective, int], NDArray], eps: Mapping[int, Sequence[float]], rho: NDArray, fraction: float
) -> Figure:
    """Critical times over eps: integrated (dots), exact (lines), leading order (dotted)."""
    figure = Figure(figsize=(2.5 * len(eps) + 0.8, 5.2), layout="constrained")
    axes = figure.subplots(2, len(eps), squeeze=False)
    norm, colours = Normalize(rho.min(), rho.max()), colormaps["viridis"]
    for (objective, depth), times in measured.items():
        panel = axes[list(COLOURS).index(objective), list(eps).index(depth)]
        scale = np.logspace(np.log10(min(eps[depth])), np.log10(max(eps[depth])), 60)
        for i, r in enumerate(rho):
            panel.plot(
                scale, exact.critical_time(objective, 1.0, r, depth, scale, fraction), color=colours(norm(r)), linewidth=1.2
            )
            if objective == "jepa" or depth > 1:
                panel.plot(scale, asymptotic.critical_time(objective, 1.0, r, depth, scale), ":", color=colours(norm(r)))
            panel.plot(eps[depth], times[:, i], ".", color=colours(norm(r)), markersize=6)
        panel.set(title=f"{objective.upper()}, depth L = {depth}", xscale="log", yscale="log")
        panel.title.set_fontsize(10)
        tidy(panel)
    name_axes(axes, "initial scale eps", "critical time t* (gradient flow)")
    figure.colorbar(ScalarMappable(norm, colours), ax=axes, label="regression coefficient rho", shrink=0.6, pad=0.01)
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
    tidy(axes)
    return figure


def flip_depths(predicted: Mapping[str, NDArray], trained: NDArray, depths: Sequence[int]) -> Figure:
    """Predicted against trained flip depths, one panel per prediction; area of a dot: number of pairs."""
    figure = Figure(figsize=(4.2 * len(predicted), 3.9), layout="constrained")
    for axes, (name, values) in zip(figure.subplots(1, len(predicted), squeeze=False)[0], predicted.items(), strict=True):
        places, counts = np.unique(np.stack([values, trained]), axis=1, return_counts=True)
        axes.plot([0.5, len(depths) + 1.5], [0.5, len(depths) + 1.5], color="grey", linewidth=0.8)
        axes.scatter(*places, s=6 * counts, color=COLOURS["jepa"], alpha=0.7)
        ticks = [*depths, len(depths) + 1]
        axes.set(
            xticks=ticks, yticks=ticks, xlabel=f"flip depth by {name}", ylabel="flip depth of trained networks", aspect="equal"
        )
        tidy(axes)
    return figure


def phase_diagram(
    panels: Mapping[tuple[flow.Objective, float, int], tuple[NDArray, NDArray]],
    field: tuple[NDArray, NDArray],
    points: tuple[NDArray, NDArray],
) -> Figure:
    """Log ratio of critical times: theory as a field, trained networks as dots; columns are depths."""
    rows = list(dict.fromkeys((o, eps) for o, eps, _ in panels))
    columns = list(dict.fromkeys(L for _, _, L in panels))
    figure = Figure(figsize=(2.5 * len(columns) + 1.2, 2.3 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), len(columns), sharex=True, sharey=True, squeeze=False)
    colours, norm = colormaps["RdBu_r"], Normalize(-0.25, 0.25)
    x, y = np.meshgrid(*points)
    for (objective, eps, depth), (theory, trained) in panels.items():
        panel = axes[rows.index((objective, eps)), columns.index(depth)]
        panel.pcolormesh(*field, np.log(theory), cmap=colours, norm=norm, shading="nearest", rasterized=True)
        panel.contour(*field, np.log(theory), levels=[0], colors="black", linewidths=0.9)
        panel.scatter(x, y, c=np.log(trained), cmap=colours, norm=norm, s=13, edgecolors="black", linewidths=0.4)
        panel.set_title(f"{objective.upper()}, L = {depth}, eps = {eps:g}", fontsize=9)
    name_axes(axes, "rho_b / rho_a", "lambda_a / lambda_b")
    bar = figure.colorbar(ScalarMappable(norm, colours), ax=axes, shrink=0.5, pad=0.01, extend="both")
    bar.set_label("log (t*_a / t*_b): blue, high rho first; red, high lambda first")
    return figure


def escapes(panels: Mapping[str, tuple[NDArray, float]], delta: NDArray) -> Figure:
    """Delays [seeds, deltas] over the size of a perturbation (dots), and lines of the given time per factor e."""
    figure = Figure(figsize=(11, 5.2), layout="constrained")
    axes = figure.subplots(2, 4).ravel()
    x = -np.log(delta)
    for panel, (title, (delays, slope)) in zip(axes, panels.items(), strict=False):
        shades = colormaps["viridis"](np.linspace(0, 0.9, len(delays)))
        for seen, colour in zip(delays, shades, strict=True):
            panel.plot(delta, seen.mean() + slope * (x - x.mean()), color=colour, linewidth=1)
            panel.plot(delta, seen, ".", color=colour)
        panel.set_xscale("log")
        panel.invert_xaxis()
        panel.set_title(title, fontsize=10)
        panel.set_xlabel("perturbation delta")
        tidy(panel)
    for panel in axes[::4]:
        panel.set_ylabel("t_a - t_b")
    for panel in axes[len(panels) :]:
        panel.set_axis_off()
    return figure
