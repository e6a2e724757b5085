"""Figures: drawn from arrays, without pyplot's global state. Axes carry units; theory is a line, measurement a dot."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from numpy.typing import NDArray

from study.statistics import interval
from study.theory import asymptotic, exact, flow

if TYPE_CHECKING:  # takes as long to import as a figure to draw
    import pandas

COLOURS: dict[flow.Objective, str] = {"jepa": "#0b6e99", "mae": "#c4501b"}
STYLES = {"mlp": "-", "linear": "--"}
METHODS = {
    "vicreg": ("#0b6e99", "o-"),
    "sigreg": ("#5aa9c9", "s-"),
    "ema": ("#6a51a3", "^-"),
    "stop-gradient": ("#3f9b5b", "v-"),
    "mae": ("#c4501b", "o-"),
    "random": ("black", "--"),
    "principal": ("grey", "-."),
    "raw": ("grey", ":"),
}
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
        _tidy(panel)
    for panel in axes[-1]:
        panel.set_xlabel("initial scale eps")
    for panel in axes[:, 0]:
        panel.set_ylabel("critical time t* (gradient flow)")
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
    _tidy(axes)
    return figure


def _band(axes: Axes, steps: NDArray, values: NDArray, key: Key) -> None:
    objective, encoder = key
    mean, low, high = np.array([interval(v) for v in values]).T
    axes.plot(steps, mean, STYLES[encoder], color=COLOURS[objective], label=f"{objective.upper()}, {encoder}")
    if np.isfinite(low).all():
        axes.fill_between(steps, low, high, color=COLOURS[objective], alpha=0.15, linewidth=0)


def share_and_probe(share: Mapping[Key, Curve], probe: Mapping[Key, Curve], raw: float | None) -> Figure:
    """Distractor share and, where there is one, validation probe over training, with that of raw noisy samples."""
    panels = 1 if raw is None else 2
    figure = Figure(figsize=(5 * panels, 3.8), layout="constrained")
    left, *right = figure.subplots(1, panels, squeeze=False)[0]
    for key, (steps, values) in share.items():
        _band(left, steps, values, key)
    left.set(xlabel="updates", ylabel="distractor's share of feature variance", ylim=(-0.02, 1.02))
    for axes in right:
        assert raw is not None
        for key, (steps, values) in probe.items():
            _band(axes, steps, 100 * values, key)
        assert raw is not None
        axes.axhline(100 * raw, color="grey", linestyle=":", label="raw noisy pixels")
        axes.set(xlabel="updates", ylabel="linear probe, validation accuracy (%)")
    for axes in (left, *right):
        _tidy(axes)
    (left, *right)[-1].legend(frameon=False, fontsize=8)
    return figure


def probe_over_labels(panels: Mapping[str, Mapping[str, NDArray]], labels: Sequence[str]) -> Figure:
    """Probe accuracy in % over the number of labels: per panel (a network) by objective or baseline [labels, seeds]."""
    figure = Figure(figsize=(3.3 * len(panels) + 1.6, 3.9), layout="constrained")
    x, all_axes = np.arange(len(labels)), figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (network, lines) in zip(all_axes, panels.items(), strict=True):
        for name, values in lines.items():
            mean, low, high = np.array([interval(v) for v in values]).T
            colour, style = METHODS[name.split(" ")[0]]
            axes.plot(x, mean, style, color=colour, label=name, linewidth=1.4, markersize=3.5)
            if np.isfinite(low).all():
                axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.set_xticks(x, labels)
        axes.set(title=network, xlabel="labels")
        _tidy(axes)
    all_axes[0].set_ylabel("linear probe, test accuracy (%)")
    all_axes[-1].legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def shares_by_objective(panels: Mapping[str, Mapping[str, NDArray]]) -> Figure:
    """The distractor's share of feature variance: per panel (a network) by objective, a dot per seed and a bar for the mean."""
    figure = Figure(figsize=(3.3 * len(panels) + 0.6, 3.4), layout="constrained")
    all_axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (network, shares) in zip(all_axes, panels.items(), strict=True):
        for i, (name, values) in enumerate(shares.items()):
            colour = METHODS[name.split(" ")[0]][0]
            axes.bar(i, values.mean(), color=colour, alpha=0.35)
            axes.plot(np.full(len(values), i), values, ".", color=colour)
        axes.set_xticks(np.arange(len(shares)), list(shares), rotation=30, ha="right")
        axes.set(title=network, ylim=(-0.02, 1.02))
        _tidy(axes)
    all_axes[0].set_ylabel("distractor's share of feature variance")
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


def probe(table: "pandas.DataFrame") -> Figure:
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
        _tidy(axes)
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
    for panel in axes[-1]:
        panel.set_xlabel("rho_b / rho_a")
    for panel in axes[:, 0]:
        panel.set_ylabel("lambda_a / lambda_b")
    bar = figure.colorbar(ScalarMappable(norm, colours), ax=axes, shrink=0.5, pad=0.01, extend="both")
    bar.set_label("log (t*_a / t*_b): blue, high rho first; red, high lambda first")
    return figure


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
        _tidy(panel)
    for panel in axes[-1]:
        panel.set_xlabel(xlabel)
    for panel in axes[:, 0]:
        panel.set_ylabel(ylabel)
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
        _tidy(panel)
    for panel in axes[-1]:
        panel.set_xlabel("regression coefficient rho")
    for panel in axes[:, 0]:
        panel.set_ylabel("weight decay eta / lambda")
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
    for panel in axes[-1]:
        panel.set_xlabel("regression coefficient rho")
    for panel in axes[:, 0]:
        panel.set_ylabel("covariance lambda")
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
        _tidy(axes)
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
        for axis in (axes.xaxis, axes.yaxis):  # less than a decade: no room for every multiple
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter("")
        _tidy(axes)
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
    _tidy(axes)
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
        _tidy(panel)
    for panel in axes[::4]:
        panel.set_ylabel("t_a - t_b")
    for panel in axes[len(panels) :]:
        panel.set_axis_off()
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
        _tidy(panel)
    axes[0].set_ylabel("distractor's share of features")
    axes[-1].legend(title=legend, frameon=False, fontsize=7, title_fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def calibration(panels: Mapping[str, tuple[NDArray, NDArray, NDArray]]) -> Figure:
    """Measured [cells, seeds] over the timed (filled) and the end state's (open) forecast [cells], in points."""
    columns = -(-len(panels) // 2)
    figure = Figure(figsize=(3.4 * columns + 0.6, 6.4 if len(panels) > 1 else 3.4), layout="constrained")
    axes = figure.subplots(min(2, len(panels)), columns, sharex=True, sharey=True, squeeze=False)
    values = np.concatenate([np.concatenate([measured.mean(1), *forecasts]) for measured, *forecasts in panels.values()])
    line = np.array([values.min() - 1, values.max() + 1])
    for panel, (title, (measured, timed, end)) in zip(axes.flat, panels.items(), strict=False):
        mean, low, high = np.array([interval(seeds) for seeds in measured]).T
        panel.plot(line, line, color="grey", linewidth=0.8)
        panel.plot(end, mean, "o", color="grey", markersize=4, fillstyle="none", label="end state")
        known = np.isfinite(low)
        panel.errorbar(
            timed, mean, np.where(known, (mean - low, high - mean), 0), fmt="o", markersize=4, color=COLOURS["jepa"], label="timed forecast",
        )  # fmt: skip
        panel.axhline(0, color="lightgrey", linewidth=0.6)
        panel.axvline(0, color="lightgrey", linewidth=0.6)
        panel.set_title(title, fontsize=10)
        _tidy(panel)
    for panel in axes[-1]:
        panel.set_xlabel("forecast, JEPA - MAE (points)")
    for panel in axes[:, 0]:
        panel.set_ylabel("trained, JEPA - MAE (points)")
    axes.flat[0].legend(frameon=False, fontsize=8)
    return figure


def forecast_and_trained(
    panels: Mapping[str, tuple[NDArray, Mapping[str, NDArray]]], places: Sequence[tuple[float, float]]
) -> Figure:
    """JEPA - MAE over gamma and amplitude: the forecast as squares and trained networks as dots in them, one of each at each place."""
    figure = Figure(figsize=(4.2 * len(panels) + 1, 3.2), layout="constrained")
    gammas, amplitudes = (sorted({place[axis] for place in places}) for axis in (0, 1))
    x = np.array([gammas.index(gamma) for gamma, _ in places], dtype=float)
    y = np.array([amplitudes.index(amplitude) for _, amplitude in places], dtype=float)
    most = max(np.abs(np.concatenate([forecast, *dots.values()])).max() for forecast, dots in panels.values())
    colours, norm = colormaps["RdBu"], Normalize(-most, most)
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for panel, (title, (forecast, dots)) in zip(axes, panels.items(), strict=True):
        field = np.full((len(amplitudes), len(gammas)), np.nan)
        field[y.astype(int), x.astype(int)] = forecast
        panel.pcolormesh(np.arange(len(gammas)), np.arange(len(amplitudes)), field, cmap=colours, norm=norm, shading="nearest")
        for i, values in enumerate(dots.values()):
            aside = 0.4 * ((i + 0.5) / len(dots) - 0.5)
            panel.scatter(x + aside, y, c=values, cmap=colours, norm=norm, s=60, edgecolors="black", linewidths=0.6)
        panel.set(xlabel="gamma (the distractor's rho)", title=title)
        panel.set_xticks(np.arange(len(gammas)), [f"{gamma:g}" for gamma in gammas])
        panel.set_yticks(np.arange(len(amplitudes)), [f"{amplitude:g}" for amplitude in amplitudes])
    axes[0].set_ylabel("amplitude A")
    bar = figure.colorbar(ScalarMappable(norm, colours), ax=axes, pad=0.02)
    bar.set_label("JEPA - MAE (points): blue, JEPA ahead")
    return figure


def learning_curves(panels: Mapping[str, tuple[NDArray, NDArray, NDArray]], rows: int) -> Figure:
    """Gains [T, f] over times [T]: trained (dots) and forecast (lines)."""
    columns = -(-len(panels) // rows)
    figure = Figure(figsize=(2.8 * columns + 0.4, 2.4 * rows + 0.4), layout="constrained")
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for panel, (title, (times, trained, predicted)) in zip(axes.flat, panels.items(), strict=True):
        shown = np.unique(np.linspace(0, len(times) - 1, 26).astype(int))
        for i, colour in enumerate(colormaps["viridis"](np.linspace(0, 0.9, trained.shape[1]))):
            panel.plot(times, predicted[:, i], color=colour, linewidth=1.2)
            panel.plot(times[shown], trained[shown, i], ".", color=colour, markersize=4)
        panel.set_title(title, fontsize=9)
        _tidy(panel)
    for panel in axes[-1]:
        panel.set_xlabel("gradient-flow time t")
    for panel in axes[:, 0]:
        panel.set_ylabel("gain w of the feature")
    return figure
