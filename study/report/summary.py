"""What claims and page need of a record, kept under <out>/cache: computed anew only where a table, the record or the code
has changed, as thousands of tables take minutes to read."""

import dataclasses
import json
import os
import sys
from collections.abc import Collection
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import study
from study.experiments.base import Claim
from study.running.files import checksum
from study.running.pool import pool
from study.running.store import Record

RUNS = 500  # of which the claims take about as long as another process takes to begin
MOST = 4  # processes, each of which takes some 150 MB


@dataclass(frozen=True)
class Summary:
    """A record's claims, its number of networks, and, where it was asked for, its section of the page."""

    claims: list[Claim]
    networks: int
    section: dict[str, Any] | None


def summarise(records: list[Record], shown: Collection[Path] = ()) -> list[Summary]:
    """The summaries of records, with the sections of those whose path is `shown`.

    Raises:
        ValueError: the claims of a record cannot be computed of its tables.
        ChildProcessError: a process that computed them was killed.
    """
    found = {record.path: kept for record in records if (kept := _kept(record, record.path in shown))}
    # Those with figures first, as they take longest.
    missing = sorted((r for r in records if r.path not in found), key=lambda record: record.path not in shown)
    workers = min(MOST, os.cpu_count() or 1, sum(len(record.runs) for record in missing) // RUNS)
    if workers > 1:
        orders = {str(record.path): order(record, record.path in shown) for record in missing}
        with closing(pool(orders, [{"OMP_NUM_THREADS": "1"}] * workers, "study.report.summary:carry_out")) as answers:
            for path, _, answer in answers:
                if "impossible" in answer:
                    raise ValueError(answer["impossible"])
                found[Path(path)] = _read(answer["made"])
    else:
        found |= {record.path: _read(_make(record, record.path in shown)) for record in missing}
    return [found[record.path] for record in records]


def claims(records: list[Record]) -> list[Claim]:
    """All claims, as the tables give them."""
    return [claim for summary in summarise(records) for claim in summary.claims]


def order(record: Record, shown: bool) -> dict[str, Any]:
    """What `carry_out` needs, as it can be written as JSON."""
    return {"record": json.loads(json.dumps(dataclasses.asdict(record), default=str)), "shown": shown}


def carry_out(asked: dict[str, Any]) -> dict[str, str]:
    """The summary that `order` asked for, or why it is impossible."""
    record = asked["record"]
    runs = {role: Path(path) for role, path in record["runs"].items()}
    try:
        return {"made": _make(Record(**record | {"path": Path(record["path"]), "runs": runs}), asked["shown"])}
    except ValueError as error:
        return {"impossible": str(error)}


def _make(record: Record, shown: bool) -> str:
    """Compute a summary, and keep it."""
    key = _key(record)  # before the tables are read, as this checks them
    experiment, results = record.experiment(), record.results()
    try:
        found = experiment.claims(results)
    except (KeyError, ValueError) as error:  # a record from before there were checksums may lack a run
        raise ValueError(f"{record.path}: its claims cannot be computed: {error}") from error
    content = {
        "claims": [dataclasses.asdict(claim) for claim in found],
        "networks": sum(result.networks for result in results.values()),
        "section": None,
    }
    if shown:
        from study.report.section import section  # draws

        content["section"] = section(record, experiment, results)
    made, path = json.dumps(content, default=str), _path(record)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"key": key, "sha256": checksum(made.encode()), "summary": made}))
    except OSError as error:
        _note(f"what was computed of {record.path.parent} is not kept: {path.parent}: {error.strerror}")
    return made


def _path(record: Record) -> Path:
    return record.path.parents[1] / "cache" / record.name / record.path.name


def _key(record: Record) -> str:
    return checksum(f"{_code()} {record.key}".encode())


def _kept(record: Record, shown: bool) -> Summary | None:
    """What was kept, where it is whole, of this record, these tables and this code, and has the section that is wanted."""
    path = _path(record)
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_bytes())
        whole = content["key"] == _key(record) and content["sha256"] == checksum(content["summary"].encode())
    except (ValueError, KeyError, TypeError, AttributeError):  # damaged: it can be made again
        return None
    kept = _read(content["summary"]) if whole else None
    return kept if kept and (kept.section or not shown) else None


def _read(made: str) -> Summary:
    content = json.loads(made)
    return Summary([Claim(**claim) for claim in content["claims"]], content["networks"], content["section"])


@cache
def _code() -> str:
    """Checksum of the code that makes claims and figures of tables."""
    root = Path(study.__path__[0])
    folders = [*(root / name for name in ("experiments", "theory", "report")), root.parent / "datamodules"]
    return checksum(b"".join(path.read_bytes() for folder in folders for path in sorted(folder.glob("*.py"))))


@cache
def _note(line: str) -> None:
    """Say a thing once."""
    print(f"study: {line}", file=sys.stderr)
