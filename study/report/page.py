"""The page: one self-contained HTML file made from records, tables and claims."""

import dataclasses
import datetime
import io
import math
from pathlib import Path
from typing import Any

import matplotlib
from jinja2 import Environment, PackageLoader
from matplotlib.figure import Figure

from study.experiments.base import Claim
from study.running.run import write
from study.running.store import Record


def number(value: float) -> str:
    """Three significant digits."""
    if not math.isfinite(value):
        return "nothing" if math.isnan(value) else "unbounded"
    return f"{value:.3g}" if value == 0 or abs(value) >= 1e-3 else f"{value:.1e}"


def svg(figure: Figure, name: str) -> str:
    """The figure as inline SVG, the same bytes each time; ids carry `name` so that figures do not share them."""
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name, "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def _section(record: Record) -> dict[str, Any]:
    first = next(iter(record.results.values()))
    provenance = first.provenance
    defaults = type(record.experiment)()
    options = {
        f.name: getattr(record.experiment, f.name)
        for f in dataclasses.fields(record.experiment)
        if getattr(record.experiment, f.name) != getattr(defaults, f.name)
    }
    claims: list[Claim] = record.experiment.claims(record.results)
    title = record.experiment.name + "".join(f", {k} {v}" for k, v in options.items() if k in ("images", "device"))
    return {
        "title": title,
        "summary": record.experiment.statement(),
        "command": record.command,
        "options": ", ".join(f"{k} = {v}" for k, v in options.items()) or "defaults",
        "hardware": f"{provenance['hardware']}; at most {max(r.provenance['peak_memory_mb'] for r in record.results.values())} MB",
        "seconds": round(record.seconds),
        "runs": len(record.results),
        "networks": sum(r.table["network"].nunique() for r in record.results.values()),
        "finished": record.finished,
        "commit": provenance["commit"],
        "versions": ", ".join(f"{k} {v}" for k, v in provenance["versions"].items()),
        "claims": claims,
        "reported": record.experiment.reported(record.results),
        "figures": [
            {"caption": caption, "svg": svg(figure, f"{title}-{i}")}
            for i, (caption, figure) in enumerate(record.experiment.figures(record.results).items())
        ],
    }


def render(records: list[Record], out: Path) -> Path:
    """Write <out>/report/index.html and return its path."""
    environment = Environment(loader=PackageLoader("study.report", "."), autoescape=True, trim_blocks=True)
    environment.filters["number"] = number
    sections = [_section(r) for r in records]
    claims = [c for s in sections for c in s["claims"]]
    page = environment.get_template("page.html.j2").render(
        sections=sections,
        claims=claims,
        holding=sum(c.holds for c in claims),
        made=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        runs=sum(s["runs"] for s in sections),
        networks=sum(s["networks"] for s in sections),
        seconds=sum(s["seconds"] for s in sections),
    )
    path = Path(out) / "report" / "index.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, page)
    return path
