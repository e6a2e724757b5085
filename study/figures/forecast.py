"""Figures of forecasts beside trained networks."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from study.figures.style import COLOURS, name_axes, tidy
from study.statistics import interval


def calibration(
    panels: Mapping[str, tuple[NDArray, NDArray, NDArray]], names: tuple[str, str] = ("timed forecast", "end state")
) -> Figure:
    """Measured [cells, seeds] over two forecasts [cells] of these names, the first filled and the second open, in points."""
    columns = -(-len(panels) // 2)
    figure = Figure(figsize=(3.4 * columns + 0.6, 6.4 if len(panels) > 1 else 3.4), layout="constrained")
    axes = figure.subplots(min(2, len(panels)), columns, sharex=True, sharey=True, squeeze=False)
    values = np.concatenate([np.concatenate([measured.mean(1), *forecasts]) for measured, *forecasts in panels.values()])
    line = np.array([values.min() - 1, values.max() + 1])
    for panel, (title, (measured, first, second)) in zip(axes.flat, panels.items(), strict=False):
        mean, low, high = np.array([interval(seeds) for seeds in measured]).T
        panel.plot(line, line, color="grey", linewidth=0.8)
        panel.plot(second, mean, "o", color="grey", markersize=4, fillstyle="none", label=names[1])
        known = np.isfinite(low)
        panel.errorbar(
            first, mean, np.where(known, (mean - low, high - mean), 0), fmt="o", markersize=4, color=COLOURS["jepa"], label=names[0],
        )  # fmt: skip
        panel.axhline(0, color="lightgrey", linewidth=0.6)
        panel.axvline(0, color="lightgrey", linewidth=0.6)
        panel.set_title(title, fontsize=10)
        tidy(panel)
    name_axes(axes, "forecast, JEPA - MAE (points)", "trained, JEPA - MAE (points)")
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
        tidy(panel)
    name_axes(axes, "gradient-flow time t", "gain w of the feature")
    return figure
