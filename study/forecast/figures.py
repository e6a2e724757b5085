"""Figures of a forecast: the (lambda, rho) plane by learning time, probes over labels and updates, and features as pictures or curves."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from study.figures.style import COLOURS, few_ticks, tidy

if TYPE_CHECKING:
    from study.forecast.forecast import Forecast

GREY = "#777777"
CHANNELS = (1, 3)  # of a sample that can be shown as a picture


def overview(found: "Forecast") -> Figure:
    """The plane of both objectives and, where there are labels, the probes."""
    figure = Figure(figsize=(12 if found.rows else 8.4, 3.8), layout="constrained")
    left, right, *rest = figure.subplots(1, 3 if found.rows else 2)
    _planes(found, [left, right])
    for axes in rest:
        _probes(found, axes)
    return figure


def plane(found: "Forecast") -> Figure:
    """Of JEPA and MAE, each feature where its lambda and rho are, in the colour of the time at which it is learned."""
    figure = Figure(figsize=(8.4, 3.8), layout="constrained")
    _planes(found, list(figure.subplots(1, 2)))
    return figure


def probes(found: "Forecast") -> Figure:
    """Accuracy over the number of labels."""
    figure = Figure(figsize=(5.4, 3.8), layout="constrained")
    _probes(found, figure.subplots())
    return figure


def curves(found: "Forecast") -> Figure:
    """Over updates, which share of the end state the features hold, and the probe on all labels."""
    figure = Figure(figsize=(8.4 if found.rows else 4.4, 3.4), layout="constrained")
    axes = figure.subplots(1, 2 if found.rows else 1, squeeze=False)[0]
    for name in COLOURS:
        curve = found.curves[name]
        updates = [point.update for point in curve.points]
        axes[0].plot(updates, [100 * p.reached for p in curve.points], "o-", color=COLOURS[name], label=name.upper())
        if found.rows:
            axes[1].plot(updates, [100 * p.probes[0].accuracy for p in curve.points], "o-", color=COLOURS[name])
            end = found.rows[-1].probes[f"{name}-end"].accuracy
            axes[1].axhline(100 * end, color=COLOURS[name], linestyle=":")
    axes[0].set(ylabel="share of the end state held, %", ylim=(0, 103))
    axes[0].legend(frameon=False)
    if found.rows:
        axes[1].set(ylabel="probe, % (dotted: end state)")
    for panel in axes:
        panel.set(xlabel="updates", xscale="symlog")
        panel.set_xlim(0, 1.2 * panel.get_xlim()[1])
        tidy(panel)
    return figure


def features(rows: dict[str, Tensor], shape: Sequence[int]) -> Figure:
    """The patterns of highest rho in the upper row and of highest lambda in the lower: pictures where samples are, else curves."""
    count = len(rows["rho"])
    picture = len(shape) == 3 and shape[0] in CHANNELS
    figure = Figure(figsize=(1.35 * count + 0.4, 3.1), layout="constrained")
    panels = figure.subplots(2, count, squeeze=False)
    for line, (name, label) in zip(panels, (("rho", "highest rho"), ("lam", "highest lambda")), strict=True):
        for i, (axes, values) in enumerate(zip(line, rows[name].numpy(), strict=True)):
            if picture:
                axes.imshow(_picture(values.reshape(shape)))
                axes.set_xticks([])
            else:
                for channel in values.reshape(-1, shape[-1]):
                    axes.plot(channel, linewidth=1)
                axes.axhline(0, color=GREY, linewidth=0.5)
                axes.tick_params(labelsize=6)
            axes.set_yticks([])
            axes.set_title(str(i + 1), fontsize=8)
        line[0].set_ylabel(label, fontsize=8)
    return figure


def _planes(found: "Forecast", panels: Sequence[Axes]) -> None:
    """In units of each objective's first feature: rates differ, the order does not."""
    e = found.estimate
    lam, rho = e.lam.numpy(), e.rho.numpy()
    relative = {name: found.times[name][: len(rho)] for name in COLOURS}
    relative = {name: times / min(times[np.isfinite(times)], default=1.0) for name, times in relative.items()}
    finite = np.concatenate([times[np.isfinite(times)] for times in relative.values()])
    norm = LogNorm(1, max(1.01, float(finite.max()) if finite.size else 10.0))
    for name, axes in zip(COLOURS, panels, strict=True):
        _plane(axes, lam, rho, relative[name], norm)
        axes.set_title(name.upper(), color=COLOURS[name], fontsize=10)
        axes.set_xlabel("lambda (covariance)")
    panels[0].set_ylabel("rho (regression coefficient)")
    figure = panels[-1].get_figure()
    assert figure is not None
    figure.colorbar(ScalarMappable(norm, "viridis_r"), ax=list(panels), label="learning time / that of the first", pad=0.01)


def _plane(axes: Axes, lam: NDArray, rho: NDArray, times: NDArray, norm: LogNorm) -> None:
    learned = np.isfinite(times)
    axes.scatter(
        lam[learned], rho[learned], c=times[learned], norm=norm, cmap="viridis_r", s=26, edgecolors="black", linewidths=0.3
    )
    if not learned.all():
        axes.scatter(lam[~learned], rho[~learned], c=GREY, marker="x", s=18, linewidths=0.8, label="not learned")
        axes.legend(frameon=False, fontsize=8)
    if (lam > 0).all():
        axes.set_xscale("log")
        few_ticks(axes.xaxis)
    tidy(axes)


def _probes(found: "Forecast", axes: Axes) -> None:
    labels = np.array([row.labels for row in found.rows])
    lines = {"jepa": ("o-", COLOURS["jepa"]), "mae": ("o-", COLOURS["mae"]), "raw": ("s:", "black"), "pca": ("^:", GREY)}
    names = {"jepa": "JEPA", "mae": "MAE", "raw": "raw inputs", "pca": "PCA"}
    for name, (style, colour) in lines.items():
        probed = [row.probes[name] for row in found.rows]
        mean = np.array([100 * p.accuracy for p in probed])
        low, high = 100 * np.array([p.interval() for p in probed]).T
        axes.errorbar(
            labels, mean, [mean - low, high - mean], fmt=style, color=colour, capsize=2, markersize=4, label=names[name]
        )
        if found.curves and name in COLOURS:
            end = [100 * row.probes[f"{name}-end"].accuracy for row in found.rows]
            axes.plot(labels, end, "--", color=colour, linewidth=1, label=f"{name.upper()}, end state")
    axes.set(xscale="log", xlabel="labels", ylabel="linear probe, % right")
    axes.set_xticks(labels, [f"{n:,}" for n in labels])
    axes.set_xticks([], minor=True)
    axes.legend(frameon=False, fontsize=8)
    tidy(axes)


def _picture(values: NDArray) -> NDArray:
    """Grey at 0, in [0, 1]."""
    return (
        np.clip(0.5 + 0.5 * values / max(float(np.abs(values).max()), 1e-30), 0, 1)
        .transpose(1, 2, 0)
        .repeat(3 if len(values) == 1 else 1, axis=2)
    )
