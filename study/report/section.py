"""The section of the page on one record: texts as values, figures as inline SVG and as numbers."""

import dataclasses
import io
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from study.experiments.base import Claim, Experiment, Results
from study.launch.store import Record
from study.report import opening
from study.report.curves import curves
from study.report.series import panels

PLACES = ("root", "device")  # options that change no result: not in a title


def svg(figure: Figure, name: str) -> str:
    """The figure as inline SVG, the same bytes each time; ids carry `name` so that figures do not share them."""
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name, "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def shown(caption: str, figure: Figure, name: str) -> dict[str, Any]:
    """A figure as the template takes it."""
    return {"caption": caption, "svg": svg(figure, name), "panels": panels(figure)}


def section(record: Record, experiment: Experiment, results: Results, claims: list[Claim]) -> dict[str, Any]:
    """What the templates show of a record beside its claims."""
    provenances = [result.provenance for result in results.values()]
    provenance = provenances[0]
    defaults = type(experiment)()
    names = [field.name for field in dataclasses.fields(experiment)]
    said = {name: _said(name, getattr(experiment, name)) for name in names}  # lists and tuples alike
    options = {name: text for name, text in said.items() if text != _said(name, getattr(defaults, name))}
    conditions = [text for name, text in options.items() if name not in PLACES]
    title = f"{experiment.name}: {', '.join(conditions) or 'defaults'}"
    name = f"{experiment.name}-{record.variant}"
    return {
        "title": title,
        "id": name,
        "summary": experiment.statement(),
        "options": ", ".join(options.values()) or "defaults",
        "hardware": f"{provenance['hardware']}; at most {max(p['peak_memory_mb'] for p in provenances)} MB",
        "commit": provenance["commit"],
        "versions": ", ".join(f"{k} {v}" for k, v in provenance["versions"].items()),
        "reported": experiment.reported(results),
        "figures": [
            shown(caption, figure, f"{name}-{i}") for i, (caption, figure) in enumerate(experiment.figures(results).items())
        ],
        "runs": [{"role": role, **curves(result)} for role, result in results.items()],
        "opening": _opening(experiment, results, claims, name),
    }


def _said(name: str, value: Any) -> str:
    return f"{name} = {', '.join(map(str, value)) if isinstance(value, list | tuple) else value}"


def _opening(experiment: Experiment, results: Results, claims: list[Claim], name: str) -> dict[str, Any] | None:
    """What the page can open with; None where the experiment does not compare JEPA with MAE on samples."""
    compared = experiment.comparison(results)
    if compared is None:
        return None
    pair = opening.pair(compared)
    where = f"{compared.samples}, {compared.distractor}, {compared.network}"
    seeds = len(compared.shares["JEPA"])
    return {
        "found": opening.found(compared, claims),
        "limits": opening.limits(compared),
        "figure": shown(
            f"JEPA against MAE on {where}. Left: the distractor's share of feature variance; right: test accuracy of a linear probe on "
            f"frozen features, beside what needs no training. Bars: mean over {seeds} seed{'s' * (seeds > 1)}; dots: seeds.",
            opening.figure(compared),
            f"{name}-opening",
        ),
        "pair": None
        if pair is None
        else {
            "caption": f"What the networks see, {compared.distractor}: test samples without noise, and the two noisy views that are "
            "made of each. JEPA and MAE are both given x and predict y: JEPA its features, MAE its pixels.",
            "svg": svg(pair, f"{name}-pair"),
        },
    }
