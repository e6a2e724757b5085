"""The forecast as one self-contained page."""

import base64
import hashlib
import io
import re
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from jinja2 import Environment, PackageLoader
from matplotlib.figure import Figure
from numpy.typing import NDArray

from study.files import strict_json, write
from study.forecast import figures
from study.forecast.forecast import Forecast

HEADLINES = {
    "jepa": "JEPA is ahead",
    "mae": "MAE is ahead",
    "neither": "neither can be told to be worth training, raw inputs or principal components do as well within the intervals",
    "cannot tell": "JEPA and MAE cannot be told apart",
}


def save(found: Forecast, out: Path, command: str) -> Path:
    """Write <out>/forecasts/<name>.html and, for programs and for the page of all results, <name>.json; returns the place of the first.
    The name is that of the data and of all that was found, so that only the same forecast takes the place of one.

    Raises:
        OSError: names the file.
    """
    numbers = strict_json(found.as_json() | {"about": found.about, "headline": _headline(found), "command": command})
    title = re.sub(r"[^\w.-]+", "-", Path(found.about.split(":")[0]).name).strip("-.") or "pairs"
    name = f"{title[:40]}-{hashlib.sha256(' '.join(found.sentences).encode()).hexdigest()[:8]}"
    path = out / "forecasts" / f"{name}.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, rendered(found, command))
    write(path.with_suffix(".json"), numbers)
    return path


def rendered(found: Forecast, command: str) -> str:
    """The page as HTML that loads nothing."""
    environment = Environment(loader=PackageLoader("study.forecast", "."), autoescape=True, trim_blocks=True)
    return environment.get_template("spectrum.html.j2").render(
        headline=_headline(found),
        sentences=found.sentences,
        command=command,
        plane=_image(figures.plane(found)),
        probes=_image(figures.probes(found)) if found.rows else None,
        curves=_image(figures.curves(found)) if found.curves else None,
        features=_image(figures.features(found.patterns, found.shape)),
        rows=found.rows,
        timed=bool(found.curves),
        order=order(found),
        k=len(found.estimate.rho),
        ordered=len(found.times["jepa"]),
        grid=_grid(found),
        lifted=found.lifted,
    )


def _headline(found: Forecast) -> str:
    """The verdict on all labels, and on the fewest where that is another."""
    if not found.rows:
        agreement = "" if found.agreement is None else f", in orders with a rank correlation of {found.agreement:.2f}"
        return f"JEPA and MAE would learn what is below{agreement}; there are no labels to say which reads better."
    few, everything = found.rows[0], found.rows[-1]
    said = f"With {everything.labels:,} labels: {HEADLINES[everything.verdict()]}."
    return said if few.verdict() == everything.verdict() else f"{said} With {few.labels:,}: {HEADLINES[few.verdict()]}."


def order(found: Forecast) -> list[dict[str, Any]]:
    """The features of highest rho, each with its place in the order of learning of both objectives."""
    e = found.estimate
    made = []
    for i in range(len(e.rho)):
        row: dict[str, Any] = {"number": i + 1, "lam": float(e.lam[i]), "rho": float(e.rho[i])}
        row |= {"low": float(e.rho_low[i]), "high": float(e.rho_high[i])}
        row |= {name: _place(times, i) for name, times in found.times.items()}
        made.append(row)
    return made


def _place(times: NDArray, i: int) -> str:
    """Of feature i among those that are learned."""
    return str(1 + int((times < times[i]).sum())) if np.isfinite(times[i]) else "never"


def _grid(found: Forecast) -> dict[str, Any] | None:
    """Rows of amplitudes and columns of gammas, with a colour for each cell: blue where JEPA is ahead, orange where MAE is."""
    if not found.change:
        return None
    gammas = sorted({cell.gamma for cell in found.change})
    by_amplitude: dict[float, list[dict[str, Any]]] = {}
    for cell in found.change:
        told = cell.low > 0 or cell.high < 0
        strength = min(1.0, abs(cell.gap) / 0.2) if told else 0.0
        colour = f"rgba({'11,110,153' if cell.gap > 0 else '196,80,27'},{0.15 + 0.5 * strength:.2f})" if told else "transparent"
        by_amplitude.setdefault(cell.amplitude, []).append({"cell": cell, "colour": colour, "told": told})
    return {"gammas": gammas, "rows": by_amplitude}


def _image(figure: Figure) -> str:
    """A picture as a data address; fonts are outlines, so that it is the same everywhere."""
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "spectrum", "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(buffer.getvalue().encode()).decode()}"
