"""What all figures share."""

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import LogLocator
from numpy.typing import NDArray

from study.theory import flow

COLOURS: dict[flow.Objective, str] = {"jepa": "#0b6e99", "mae": "#c4501b"}


def tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)


def name_axes(panels: NDArray, xlabel: str, ylabel: str) -> None:
    """Below the last row of a grid of panels, and beside its first column."""
    for panel in panels[-1]:
        panel.set_xlabel(xlabel)
    for panel in panels[:, 0]:
        panel.set_ylabel(ylabel)


def few_ticks(axis: Axis) -> None:
    """Of a logarithmic axis, where there is no room for every multiple; beyond two decades for powers of ten alone."""
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter("")
