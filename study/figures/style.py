"""What all figures share."""

from matplotlib.axes import Axes

from study.theory import flow

COLOURS: dict[flow.Objective, str] = {"jepa": "#0b6e99", "mae": "#c4501b"}


def tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)
