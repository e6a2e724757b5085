"""The section of the page on one record: texts as values, figures as inline SVG."""

import dataclasses
import io
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from study.experiments.base import Experiment, Results
from study.launch.store import Record


def svg(figure: Figure, name: str) -> str:
    """The figure as inline SVG, the same bytes each time; ids carry `name` so that figures do not share them."""
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name, "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def section(record: Record, experiment: Experiment, results: Results) -> dict[str, Any]:
    """What the template shows of a record beside its claims."""
    provenances = [result.provenance for result in results.values()]
    provenance = provenances[0]
    defaults = type(experiment)()
    options = {
        f.name: getattr(experiment, f.name)
        for f in dataclasses.fields(experiment)
        if getattr(experiment, f.name) != getattr(defaults, f.name)
    }
    title = experiment.name + "".join(f", {k} {v}" for k, v in options.items() if k in ("images", "device"))
    return {
        "title": title,
        "id": f"{experiment.name}-{record.variant}",
        "summary": experiment.statement(),
        "options": ", ".join(f"{k} = {v}" for k, v in options.items()) or "defaults",
        "hardware": f"{provenance['hardware']}; at most {max(p['peak_memory_mb'] for p in provenances)} MB",
        "commit": provenance["commit"],
        "versions": ", ".join(f"{k} {v}" for k, v in provenance["versions"].items()),
        "reported": experiment.reported(results),
        "figures": [
            {"caption": caption, "svg": svg(figure, f"{title}-{record.variant}-{i}")}
            for i, (caption, figure) in enumerate(experiment.figures(results).items())
        ],
    }
