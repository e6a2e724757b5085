"""Figures of networks on noisy images."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from study.figures.style import COLOURS, tidy
from study.statistics import interval
from study.theory import flow

if TYPE_CHECKING:  # takes as long to import as a figure to draw
    import pandas

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
        axes.axhline(100 * raw, color="grey", linestyle=":", label="raw noisy pixels")
        axes.set(xlabel="updates", ylabel="linear probe, validation accuracy (%)")
    for axes in (left, *right):
        tidy(axes)
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
        tidy(axes)
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
        tidy(axes)
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
        tidy(axes)
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
    tidy(axes)
    return figure
