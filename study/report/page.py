"""The page: an index and one page per experiment, self-contained HTML files made from records, tables and claims."""

import datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from study.experiments import LINEAR
from study.experiments.base import Claim
from study.experiments.verdict import HOLDS, INCONCLUSIVE, MEASUREMENT, REFUTED, counted
from study.files import write
from study.launch import store
from study.launch.store import Record
from study.report import assets, opening, texts
from study.report.fits import fits, unfinished
from study.report.forecasts import forecasts
from study.report.groups import groups
from study.report.shown import Shown
from study.report.summary import Summary, summarise
from study.report.svg import sanitised
from study.report.symbols import used
from study.running.lock import in_turn

SHOWN = 3  # executions of an experiment that have a section of their own: the last to finish
NAMED = 5  # executions named of those in which a claim is refuted
LISTED = 50  # claims that are refuted, or inconclusive, listed on the index
VERDICTS = (HOLDS, REFUTED, INCONCLUSIVE, MEASUREMENT)


def place(out: Path, name: str = "") -> Path:
    """The file of the page, or of an experiment's."""
    return Path(out) / "report" / (f"experiments/{name}.html" if name else "index.html")


def publish(out: Path) -> list[Record]:
    """Write <out>/claims.json and the page, from all records under `out` as they are while no other process does the same, so
    that of two at once the later one knows the records of both. Returns the records.

    Raises:
        ValueError, OSError: as `store.records`, `summarise` and `in_turn`.
    """
    if not list((Path(out) / "fit").glob("*/done")) and not list((Path(out) / "forecasts").glob("*.json")):
        store.records(out)  # where there is nothing, nothing is written
    with in_turn(Path(out) / "claims.lock"):
        records = store.executions(out)
        store.save_claims(render(records, out), out)
    return records


def render(records: list[Record], out: Path) -> list[Claim]:
    """Write <out>/report/index.html and a page per experiment beside it; returns all claims.

    Of an experiment that was executed often, the last executions are shown and the others counted, so that the pages stay
    small.
    """
    by_name = {name: list(group) for name, group in groupby(records, key=lambda record: record.name)}
    last = [sorted(executions, key=lambda record: record.finished)[-SHOWN:][::-1] for executions in by_name.values()]
    summaries = dict(
        zip(
            (record.path for record in records),
            summarise(records, {record.path for executions in last for record in executions}),
            strict=True,
        )
    )
    experiments = [
        Shown(name, *([(record, summaries[record.path]) for record in chosen] for chosen in (executions, shown)))
        for (name, executions), shown in zip(by_name.items(), last, strict=True)
    ]
    claims = [claim for summary in summaries.values() for claim in summary.claims]
    own = fits(out)
    made = {
        "made": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "experiments": experiments,
        "own": own,
        "forecasts": forecasts(out),
    }
    environment = _environment()
    pages = {
        place(out, shown.name): environment.get_template("experiment.html.j2").render(made, shown=shown, data=shown.data)
        for shown in experiments
    }
    if own:
        pages[place(out, "fit")] = environment.get_template("fit.html.j2").render(
            made, data={"figures": {}, "runs": own, "executions": []}
        )
    opened = _opening([pair for shown in experiments for pair in shown.sections])
    pages[place(out)] = environment.get_template("index.html.j2").render(  # last, as it has links to the others
        made,
        opened=opened,
        missing=opening.missing(),
        theory=opening.theory(claim for claim in claims if claim.experiment in LINEAR),
        data={"figures": {"opening": opened["figure"]["panels"]} if opened else {}, "runs": [], "executions": []},
        listed=LISTED,
        counted=counted(claim.verdict for claim in claims),
        undecided={verdict: [c for c in claims if c.verdict == verdict] for verdict in (REFUTED, INCONCLUSIVE)},
        runs=sum(len(record.runs) for record in records),
        networks=sum(summary.networks for summary in summaries.values()),
        seconds=round(sum(record.seconds for record in records)),
        unfinished=unfinished(out),
    )
    place(out, "fit").parent.mkdir(parents=True, exist_ok=True)
    for path, text in pages.items():
        write(path, text)
    for path in set(place(out, "fit").parent.glob("*.html")) - set(pages):  # of experiments that are gone
        path.unlink(missing_ok=True)
    return claims


def _opening(sections: list[tuple[Record, Summary]]) -> dict[str, Any] | None:
    """Of the executions that compare JEPA with MAE on samples, what the one has to say whose claims are decided, rather than
    inconclusive or measured under other conditions; that is not of built-in images; and that finished last. It is named."""
    able = [(record, s) for record, s in sections if s.section and s.section["opening"]]
    if not able:
        return None
    record, chosen = max(
        able,
        key=lambda pair: (
            any(claim.verdict in (HOLDS, REFUTED) for claim in pair[1].claims),
            any(claim.verdict != MEASUREMENT for claim in pair[1].claims),
            pair[0].options.get("images") != "builtin",
            pair[0].finished,
        ),
    )
    assert chosen.section
    return {**chosen.section["opening"], "experiment": record.name, "id": chosen.section["id"], "finished": record.finished}


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("study.report", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    written = (texts.number, texts.repetitions, texts.moment, texts.coded, texts.embedded)
    environment.filters |= {function.__name__: function for function in (*written, groups, sanitised)}
    environment.globals |= {"assets": assets, "used": used, "verdicts": VERDICTS, "named": NAMED}
    return environment
