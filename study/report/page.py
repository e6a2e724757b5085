"""The page: one self-contained HTML file made from records, tables and claims."""

import datetime
import math
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader

from study.experiments.base import Claim
from study.report.summary import summarise
from study.running.files import write
from study.running.store import Record

SHOWN = 3  # executions of an experiment that have a section of their own: the last to finish
NAMED = 5  # executions named of those in which a claim does not hold


def number(value: float) -> str:
    """Three significant digits."""
    if not math.isfinite(value):
        return "nothing" if math.isnan(value) else "unbounded"
    return f"{value:.3g}" if value == 0 or abs(value) >= 1e-3 else f"{value:.1e}"


def across(claims: Sequence[tuple[str, Claim]]) -> dict[str, Any]:
    """One claim in all executions of its experiment, given as (variant, claim)."""
    measured = sorted(claim.measured for _, claim in claims)
    return {
        "id": claims[0][1].id,
        "executions": len(claims),
        "holding": sum(claim.holds for _, claim in claims),
        "low": measured[0],
        "high": measured[-1],
        "failing": [variant for variant, claim in claims if not claim.holds],
    }


def render(records: list[Record], out: Path) -> Path:
    """Write <out>/report/index.html and return its path.

    Of an experiment that was executed often, the last executions are shown and the others counted, so that the page stays
    small.
    """
    by_name = {name: list(group) for name, group in groupby(records, key=lambda record: record.name)}
    last = [sorted(executions, key=lambda record: record.finished)[-SHOWN:] for executions in by_name.values()]
    shown = {record.path for executions in last for record in executions}
    summaries = dict(zip((record.path for record in records), summarise(records, shown), strict=True))
    experiments = []
    for name, executions in by_name.items():
        made = [(record, summaries[record.path]) for record in executions]
        by_claim: dict[str, list[tuple[str, Claim]]] = {}
        for record, summary in made:
            for claim in summary.claims:
                by_claim.setdefault(claim.id, []).append((record.variant, claim))
        experiments.append(
            {
                "name": name,
                "sections": [(record, summary) for record, summary in made if record.path in shown],
                "executions": len(made),
                "across": [across(claims) for claims in by_claim.values()] if len(made) > SHOWN else [],
            }
        )
    claims = [claim for summary in summaries.values() for claim in summary.claims]
    environment = Environment(loader=PackageLoader("study.report", "."), autoescape=True, trim_blocks=True)
    environment.filters["number"] = number
    page = environment.get_template("page.html.j2").render(
        experiments=experiments,
        named=NAMED,
        claims=claims,
        holding=sum(c.holds for c in claims),
        made=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        runs=sum(len(record.runs) for record in records),
        networks=sum(summary.networks for summary in summaries.values()),
        seconds=round(sum(record.seconds for record in records)),
    )
    path = Path(out) / "report" / "index.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, page)
    return path
