"""The page: one self-contained HTML file made from records, tables and claims."""

import datetime
import math
from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader

from study.experiments.base import Claim
from study.experiments.verdict import HOLDS, INCONCLUSIVE, MEASUREMENT, REFUTED, counted
from study.files import write
from study.launch import store
from study.launch.store import Record
from study.report.summary import summarise
from study.report.svg import sanitised
from study.running.lock import in_turn

SHOWN = 3  # executions of an experiment that have a section of their own: the last to finish
NAMED = 5  # executions named of those in which a claim is refuted
LISTED = 50  # claims that are refuted, or inconclusive, at the head of the page


def number(value: float) -> str:
    """Three significant digits."""
    if not math.isfinite(value):
        return "nothing" if math.isnan(value) else "unbounded"
    return f"{value:.3g}" if value == 0 or abs(value) >= 1e-3 else f"{value:.1e}"


def repetitions(claim: Claim) -> str:
    """On how many repetitions the interval rests."""
    return "nothing random" if claim.n is None else f"n = {claim.n}"


def across(claims: Sequence[tuple[str, Claim]]) -> dict[str, Any]:
    """One claim in all executions of its experiment, given as (variant, claim)."""
    measured = sorted(claim.measured for _, claim in claims)
    return {
        "id": claims[0][1].id,
        "executions": len(claims),
        "verdicts": Counter(claim.verdict for _, claim in claims),
        "low": measured[0],
        "high": measured[-1],
        "refuted": [variant for variant, claim in claims if claim.verdict == REFUTED],
    }


def place(out: Path) -> Path:
    """The file of the page."""
    return Path(out) / "report" / "index.html"


def publish(out: Path) -> tuple[list[Record], list[Claim]]:
    """Write <out>/claims.json and the page, from all records under `out` as they are while no other process does the same, so
    that of two at once the later one knows the records of both. Returns records and claims.

    Raises:
        ValueError, OSError: as `store.records`, `summarise` and `in_turn`.
    """
    store.records(out)  # where there is none, nothing is written
    with in_turn(Path(out) / "claims.lock"):
        records = store.records(out)
        claims = render(records, out)
        store.save_claims(claims, out)
    return records, claims


def render(records: list[Record], out: Path) -> list[Claim]:
    """Write <out>/report/index.html and return all claims.

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
    environment.filters |= {"number": number, "repetitions": repetitions, "sanitised": sanitised}
    page = environment.get_template("page.html.j2").render(
        experiments=experiments,
        named=NAMED,
        listed=LISTED,
        verdicts=(HOLDS, REFUTED, INCONCLUSIVE, MEASUREMENT),
        counted=counted(claim.verdict for claim in claims),
        undecided={verdict: [c for c in claims if c.verdict == verdict] for verdict in (REFUTED, INCONCLUSIVE)},
        made=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        runs=sum(len(record.runs) for record in records),
        networks=sum(summary.networks for summary in summaries.values()),
        seconds=round(sum(record.seconds for record in records)),
    )
    path = place(out)
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, page)
    return claims
