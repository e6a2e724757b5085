"""What claims and page need of records: computed only where it was not kept, by several processes where that is much."""

import dataclasses
import json
import os
from collections.abc import Collection
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from study.experiments.base import Claim
from study.launch.pool import pool
from study.launch.store import Record, load
from study.report import kept
from study.running.failed import error_of, failure

RUNS = 500  # of which the claims take about as long as another process takes to begin
MOST = 4  # processes, each of which takes some 150 MB


@dataclass(frozen=True)
class Summary:
    """A record's claims, its number of networks, and, where it was asked for, its section of the page."""

    claims: list[Claim]
    networks: int
    section: dict[str, Any] | None


def summarise(records: list[Record], shown: Collection[Path] = ()) -> list[Summary]:
    """The summaries of records, with the sections of those whose path is `shown`. The files of all runs are checked.

    Raises:
        ValueError: a file is missing or damaged, or claims cannot be computed of the tables; names it.
        OSError: a file cannot be read.
        ChildProcessError: a process that computed summaries was killed.
    """
    found = {record.path: _read(made) for record in records if (made := kept.load(record))}
    missing = [r for r in records if r.path not in found or (r.path in shown and not found[r.path].section)]
    missing.sort(key=lambda record: record.path not in shown)  # those with figures first, as they take longest
    workers = min(MOST, cores(), len(missing), sum(len(record.runs) for record in missing) // RUNS)
    if workers > 1:
        orders = {str(record.path): {"record": str(record.path), "shown": record.path in shown} for record in missing}
        with closing(pool(orders, [{"OMP_NUM_THREADS": "1"}] * workers, "study.report.summary:carry_out")) as answers:
            for path, _, answer in answers:
                if "kind" in answer:
                    raise error_of(answer)
                found[Path(path)] = _read(answer["made"])
    else:
        found |= {record.path: _read(_make(record, record.path in shown)) for record in missing}
    return [found[record.path] for record in records]


def claims(records: list[Record]) -> list[Claim]:
    """All claims, as the tables give them."""
    return [claim for summary in summarise(records) for claim in summary.claims]


def carry_out(order: dict[str, Any]) -> dict[str, Any]:
    """What a process of the pool answers: the summary of a record, or the failure."""
    try:
        return {"made": _make(load(Path(order["record"])), order["shown"])}
    except (ValueError, OSError) as error:
        return failure(error)


def cores() -> int:
    """Those that this process may use, where the system says so."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _make(record: Record, shown: bool) -> str:
    """Compute a summary, and keep it."""
    kept.key(record)  # checks the files before they are read
    experiment, results = record.experiment(), record.results()
    try:
        found = experiment.claims(results)
    except (KeyError, ValueError) as error:  # it may lack a run
        raise ValueError(f"{record.path}: its claims cannot be computed: {error}") from error
    content = {
        "claims": [dataclasses.asdict(claim) for claim in found],
        "networks": sum(result.networks for result in results.values()),
        "section": None,
    }
    if shown:
        from study.report.section import section  # draws

        content["section"] = section(record, experiment, results, found)
    made = json.dumps(content, default=str)
    kept.keep(record, made)
    return made


def _read(made: str) -> Summary:
    content = json.loads(made)
    return Summary([Claim(**claim) for claim in content["claims"]], content["networks"], content["section"])
