"""What a figure of matplotlib draws, as numbers, so that a browser can draw it again and say a value under the pointer."""

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import Collection, FillBetweenPolyCollection, LineCollection, PathCollection
from matplotlib.colors import to_hex
from matplotlib.container import BarContainer, ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator

MOST = 120  # points of a line: enough for the eye
DASHES = {"--": [6, 4], "-.": [6, 3, 1, 3], ":": [2, 3]}
Series = dict[str, Any]


def panels(figure: Figure) -> list[dict[str, Any]]:
    """The axes of a figure with the series in them. Empty where one holds what is no series of points, such as a picture: then
    the figure can only be shown as it is."""
    shown = [axes for axes in figure.axes if axes.axison and axes.get_label() != "<colorbar>"]
    found = [series(axes) for axes in shown]
    return [_panel(axes, drawn) for axes, drawn in zip(shown, found, strict=True) if drawn] if all(found) else []


def series(axes: Axes) -> list[Series]:
    """What is drawn in axes, in its order; empty where that cannot be told by points alone."""
    if axes.images or axes.tables or axes.artists:
        return []
    drawn: list[Series] = []
    ends = {id(line) for c in axes.containers if isinstance(c, ErrorbarContainer) for line in c.lines[1]}
    for collection in axes.collections:
        if isinstance(collection, FillBetweenPolyCollection):
            drawn += map(_band, collection.get_paths(), [collection] * len(collection.get_paths()))
        elif isinstance(collection, PathCollection) and _alike(collection):
            drawn += _points(np.ma.getdata(collection.get_offsets()), _colour(collection), collection.get_label())
        elif isinstance(collection, LineCollection) and _upright(collection):
            drawn += [_bar_of_error(segment, collection) for segment in collection.get_segments()]
        else:
            return []
    bars = [(bar, str(c.get_label())) for c in axes.containers if isinstance(c, BarContainer) for bar in c.patches]
    if len(bars) != len(axes.patches):
        return []
    drawn += [
        _series(
            "bar",
            [bar.get_x() + bar.get_width() / 2],
            [bar.get_height()],
            to_hex(bar.get_facecolor()),
            name,
            width=bar.get_width(),
        )
        for bar, name in bars
    ]
    for line in axes.lines:
        if id(line) not in ends:
            drawn += _line(axes, line)
    return drawn


def _panel(axes: Axes, drawn: list[Series]) -> dict[str, Any]:
    return {"title": axes.get_title(), "x": _axis(axes.xaxis, *axes.get_xlim()), "y": _axis(axes.yaxis, *axes.get_ylim()), "series": drawn}  # fmt: skip


def _axis(axis: Axis, first: float, last: float) -> dict[str, Any]:
    at, log = axis.get_ticklocs(), axis.get_scale() == "log"
    named = isinstance(axis.get_major_locator(), FixedLocator)  # ticks that were given, and are not numbers of the axis
    ticks = list(zip(map(float, at), axis.get_major_formatter().format_ticks(at.tolist()), strict=True)) if named else None
    return {"label": axis.get_label_text(), "log": log, "first": float(first), "last": float(last), "ticks": ticks}


def _line(axes: Axes, line: Line2D) -> list[Series]:
    x, y = (np.asarray(values, dtype=float) for values in line.get_data(orig=False))
    colour, name = to_hex(line.get_color()), str(line.get_label())
    if line.get_transform() != axes.transData:  # a line at one height from side to side
        return [_series("rule", [], [y[0]], colour, name, line.get_linestyle())]
    whole = np.isfinite(x) & np.isfinite(y)
    x, y = x[whole], y[whole]
    if not len(x):  # an entry of the legend
        return [_series("points", [], [], colour, name)] if name and not name.startswith("_") else []
    if line.get_linestyle() == "None":
        return _points(np.stack([x, y], 1), colour, name)
    some = np.unique(np.linspace(0, len(x) - 1, MOST).round().astype(int))
    x, first = np.unique(x[some], return_index=True)
    return [_series("line", x, y[some][first], colour, name, line.get_linestyle(), dots=line.get_marker() not in ("", "None"))]


def _points(at: np.ndarray, colour: str, name: object) -> list[Series]:
    """Dots. In each of the series no two are above one another."""
    at = at[np.lexsort(at.T[::-1])]
    out = []
    while len(at):
        _, first = np.unique(at[:, 0], return_index=True)
        x, y = at[first].T
        out.append(_series("points", x, y, colour, str(name)))
        at = np.delete(at, first, 0)
    return out


def _band(path: Any, collection: Collection) -> Series:
    """matplotlib goes along one side from the first point, and back along the other."""
    corners = path.vertices[:-1]
    half = len(corners) // 2
    low, high = corners[1:half], corners[half + 1 :][::-1]
    return _series("band", low[:, 0], low[:, 1], _colour(collection), "", high=[_short(v) for v in high[:, 1]])


def _alike(dots: PathCollection) -> bool:
    """Whether colours and areas of dots tell nothing."""
    return dots.get_array() is None and len(np.unique(dots.get_sizes())) == 1


def _upright(collection: LineCollection) -> bool:
    return all(np.ptp(segment[:, 0]) == 0 for segment in collection.get_segments())


def _bar_of_error(segment: np.ndarray, collection: LineCollection) -> Series:
    low, high = segment[:, 1].min(), segment[:, 1].max()
    return _series("error", segment[:1, 0], [low], _colour(collection), "", high=[_short(high)])


def _colour(collection: Collection) -> str:
    """Of its areas, or where it has none of its lines."""
    faces, lines = np.asarray(collection.get_facecolor()), np.asarray(collection.get_edgecolor())
    return to_hex(tuple((faces if len(faces) else lines)[0]))


def _series(kind: str, x: Any, y: Any, colour: str, name: str, style: object = "-", **more: Any) -> Series:
    """A name that begins with an underscore is matplotlib's way to say that the legend leaves it out."""
    return {
        "kind": kind,
        "name": name.lstrip("_") if not name.startswith(("_child", "_nolegend", "_container")) else "",
        "legend": bool(name) and not name.startswith("_"),
        "colour": colour,
        "dash": DASHES.get(str(style), []),
        "x": [_short(v) for v in x],
        "y": [_short(v) for v in y],
        **more,
    }


def _short(value: float) -> float | None:
    """Four digits, which is what can be read off."""
    return float(f"{value:.4g}") if math.isfinite(value) else None
